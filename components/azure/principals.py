"""Who reads a key vault, and the place on Azure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from ..core.principals import Place, Principal, Workload


@dataclass(frozen=True, kw_only=True)
class AzurePlace(Place):
    """A resource group of an Azure subscription, and the provider that talks to it."""

    subscription: str
    tenant: str
    location: str
    group: pulumi.Output[str]
    tags: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class AzureIdentity:
    """A user-assigned identity: what a container that has it is to Azure."""

    name: pulumi.Output[str]
    id: pulumi.Output[str]
    """Of the resource, by which containers are given it."""
    client_id: pulumi.Output[str]
    """Which of its identities a program in a container asks to be."""
    object_id: pulumi.Output[str]
    """By which roles are assigned to it, and by which logs call it."""


@dataclass(frozen=True, kw_only=True)
class AzureEnvironment:
    """A Container Apps environment: where containers of the stack run."""

    id: pulumi.Output[str]
    domain: pulumi.Output[str]
    """Below which its apps have their names."""
    platform: AzureIdentity
    """The identity that Container Apps pulls images with. No container gets it."""


@dataclass(frozen=True, kw_only=True)
class ContainerApp(Workload, Principal):
    """A container app before it is there: where it will run, and as whom it reads."""

    place: AzurePlace
    environment: AzureEnvironment
    reads: AzureIdentity


@dataclass(frozen=True, kw_only=True)
class AzurePods(Principal):
    """Pods whose secrets are copied into their namespace by what reads as an identity of Azure."""

    place: AzurePlace
    environment: AzureEnvironment
    """Where the rotator runs."""
    reads: AzureIdentity
    syncs_as: pulumi.Output[str]
    """The service account of their namespace that Entra takes for the identity."""


@dataclass(frozen=True, kw_only=True)
class AzureUser(Principal):
    """A person, as whom the launcher on this machine reads."""

    place: AzurePlace
    environment: AzureEnvironment
    """Where the rotator runs."""
    object_id: str


AzureReader = ContainerApp | AzurePods | AzureUser
