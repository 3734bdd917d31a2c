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
    """A resource group of an Azure subscription, and its provider."""

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
    """Resource id, for containers that use it."""
    client_id: pulumi.Input[str]
    """For a program in a container, to choose among its identities."""
    object_id: pulumi.Input[str]
    """For role assignments; logs have it."""


@dataclass(frozen=True, kw_only=True)
class AzureEnvironment:
    """A Container Apps environment, for the stack's containers."""

    place: AzurePlace
    id: pulumi.Output[str]
    domain: pulumi.Output[str]
    """Suffix of its apps' host names."""
    platform: AzureIdentity
    """The identity with which Container Apps pulls images. No container gets it."""
    args: AzureIdentitiesArgs

    @property
    def sharing(self) -> dict[str, Any]:
        """Return the arguments of a component that shares it (identity.AzureArgs)."""
        own = {each.name: getattr(self.args, each.name) for each in fields(AzureIdentitiesArgs)}
        return {**own, "shared": self}


@dataclass(frozen=True, kw_only=True)
class ContainerApp(Workload, Principal):
    """A container app before it exists: its environment and identity."""

    environment: AzureEnvironment
    reads: AzureIdentity


@dataclass(frozen=True, kw_only=True)
class AzurePods(Principal):
    """Pods whose secrets External Secrets copies into their namespace, with an identity of Azure."""

    environment: AzureEnvironment | None = None
    """The rotator's environment; by default the store makes one."""
    reads: AzureIdentity
    syncs_as: pulumi.Input[str]
    """The service account of their namespace that has the identity."""


@dataclass(frozen=True, kw_only=True)
class AzureUser(Principal):
    """A user, with whose account the launcher on this machine reads."""

    environment: AzureEnvironment | None = None
    """The rotator's environment; by default the store makes one."""
    object_id: str


AzureReader = ContainerApp | AzurePods | AzureUser
