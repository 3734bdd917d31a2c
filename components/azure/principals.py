"""Who reads a key vault, and where everything of a stack is on Azure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import pulumi

from ..core.principals import Place, Principal, Workload
from .names import AzureIdentitiesArgs, Names


@dataclass(frozen=True, kw_only=True)
class AzurePlace(Place):
    """A resource group of an Azure subscription, and the provider that talks to it."""

    names: Names
    tenant: str
    location: str
    group: pulumi.Output[str]
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AzureIdentity:
    """A user-assigned identity: what a container that has it is to Azure."""

    name: pulumi.Input[str]
    id: pulumi.Input[str]
    """Resource id, by which containers get it."""
    client_id: pulumi.Input[str]
    """By which a program in a container chooses among its identities."""
    object_id: pulumi.Input[str]
    """By which roles are assigned to it, and by which logs name it."""


@dataclass(frozen=True, kw_only=True)
class AzureEnvironment:
    """A Container Apps environment: where containers of the stack run."""

    place: AzurePlace
    id: pulumi.Output[str]
    domain: pulumi.Output[str]
    """Its apps' names end with this domain."""
    platform: AzureIdentity
    """The identity that Container Apps pulls images with. No container gets it."""
    args: AzureIdentitiesArgs

    @property
    def sharing(self) -> dict[str, Any]:
        """Return the arguments of a component that shares it (identity.AzureArgs)."""
        own = {each.name: getattr(self.args, each.name) for each in fields(AzureIdentitiesArgs)}
        return {**own, "shared": self}


@dataclass(frozen=True, kw_only=True)
class ContainerApp(Workload, Principal):
    """A container app before it exists: where it will run, and the identity that it reads with."""

    environment: AzureEnvironment
    reads: AzureIdentity


@dataclass(frozen=True, kw_only=True)
class AzurePods(Principal):
    """Pods whose secrets External Secrets copies into their namespace, with an identity of Azure."""

    environment: AzureEnvironment | None = None
    """Where the rotator runs; by default the store makes one."""
    reads: AzureIdentity
    syncs_as: pulumi.Input[str]
    """The service account of their namespace that Entra takes for the identity."""


@dataclass(frozen=True, kw_only=True)
class AzureUser(Principal):
    """A person. The launcher on this machine reads with this account."""

    environment: AzureEnvironment | None = None
    """Where the rotator runs; by default the store makes one."""
    object_id: str


AzureReader = ContainerApp | AzurePods | AzureUser
