"""Readers of a key vault, and the places of a stack on Azure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

from ..core.principals import Place, Principal, Workload
from .names import AzureIdentitiesArgs, Names


@dataclass(frozen=True, kw_only=True)
class AzurePlace(Place):
    """A resource group, and its provider."""

    names: Names
    tenant: str
    location: str
    group: pulumi.Output[str]
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AzureIdentity:
    """A user-assigned identity."""

    name: pulumi.Input[str]
    id: pulumi.Input[str]
    """For containers that use it."""
    client_id: pulumi.Input[str]
    """For a program to choose among its container's identities."""
    object_id: pulumi.Input[str]
    """For role assignments; logs have it."""


@dataclass(frozen=True, kw_only=True)
class AzureEnvironment:
    """The Container Apps environment of a stack."""

    place: AzurePlace
    id: pulumi.Output[str]
    domain: pulumi.Output[str]
    """Suffix of apps' host names."""
    platform: AzureIdentity
    """Container Apps pulls images with it. No container gets it."""
    args: AzureIdentitiesArgs

    @property
    def sharing(self) -> dict[str, Any]:
        """Return the arguments (AzureArgs) of a component that shares it."""
        own = {each.name: getattr(self.args, each.name) for each in fields(AzureIdentitiesArgs)}
        return {**own, "shared": self}


@dataclass(frozen=True, kw_only=True)
class ContainerApp(Workload, Principal):
    """A container app before it exists."""

    environment: AzureEnvironment
    reads: AzureIdentity


@dataclass(frozen=True, kw_only=True)
class AzurePods(Principal):
    """Pods that get secrets from External Secrets, which has an Azure identity."""

    environment: AzureEnvironment | None = None
    """The rotator's environment. None: the store creates it."""
    reads: AzureIdentity
    syncs_as: pulumi.Input[str]
    """Service account in their namespace that has the identity."""


@dataclass(frozen=True, kw_only=True)
class AzureUser(Principal):
    """A user; the launcher on this machine reads with their account."""

    environment: AzureEnvironment | None = None
    """The rotator's environment. None: the store creates it."""
    object_id: str


AzureReader = ContainerApp | AzurePods | AzureUser
