"""Identities that read a key vault, and the resource group and environment that a stack's components share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

from ..core.principals import Place, Principal, Workload
from .names import AzureIdentitiesArgs, Names


@dataclass(frozen=True, kw_only=True)
class AzurePlace(Place):
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
    """Resource id, to assign the identity to containers."""
    client_id: pulumi.Input[str]
    """Client id, by which a program selects one of its container's identities."""
    object_id: pulumi.Input[str]
    """Object id, for role assignments and in logs."""


@dataclass(frozen=True, kw_only=True)
class AzureEnvironment:
    """The Container Apps environment that a stack's components share."""

    place: AzurePlace
    id: pulumi.Output[str]
    domain: pulumi.Output[str]
    """Suffix of the apps' host names."""
    platform: AzureIdentity
    """The identity with which Container Apps pulls images. No container gets it."""
    args: AzureIdentitiesArgs

    @property
    def sharing(self) -> dict[str, Any]:
        """Return the arguments (AzureArgs) of another component that shares this environment."""
        own = {each.name: getattr(self.args, each.name) for each in fields(AzureIdentitiesArgs)}
        return {**own, "shared": self}


@dataclass(frozen=True, kw_only=True)
class ContainerApp(Workload, Principal):
    """The identity of a container app, before the app exists."""

    environment: AzureEnvironment
    reads: AzureIdentity


@dataclass(frozen=True, kw_only=True)
class AzurePods(Principal):
    """Pods for which External Secrets copies secrets, with an Azure identity."""

    environment: AzureEnvironment | None = None
    """Container Apps environment for the rotator; by default the store creates one."""
    reads: AzureIdentity
    syncs_as: pulumi.Input[str]
    """Service account in the pods' namespace that uses the identity."""


@dataclass(frozen=True, kw_only=True)
class AzureUser(Principal):
    """A user. The launcher on this machine reads as this user."""

    environment: AzureEnvironment | None = None
    """Container Apps environment for the rotator; by default the store creates one."""
    object_id: str


AzureReader = ContainerApp | AzurePods | AzureUser
