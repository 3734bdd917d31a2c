"""The identities that read secrets. Not persons."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from secretops.platforms.vault.location import VaultLogin


@dataclass(frozen=True, kw_only=True)
class HostUser:
    """An account of this machine, by uid: who owns the files may read them."""

    uid: int

    @classmethod
    def this(cls) -> HostUser:
        """The account that runs the program."""
        return cls(uid=os.geteuid())


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """A Kubernetes namespace, and the provider that talks to its cluster."""

    name: pulumi.Output[str]
    """Of the namespace itself: whatever takes its name from here is made after it, and removed before it."""
    provider: pulumi.ProviderResource


@dataclass(frozen=True, kw_only=True)
class ServiceAccount:
    """An account of a Kubernetes namespace: what a Role grants, the pods that run as it may do."""

    namespace: Namespace
    name: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where resources of a cloud lie: what it is to the engine."""

    provider: pulumi.ProviderResource

    def under(
        self, component: pulumi.ComponentResource, *, after: Sequence[pulumi.Resource] = (), protect: bool = False
    ) -> pulumi.ResourceOptions:
        """Options of what lies below `component` in this place, and is made `after` others."""
        return pulumi.ResourceOptions(
            parent=component, provider=self.provider, depends_on=list(after), protect=protect or None
        )


@dataclass(frozen=True, kw_only=True)
class AwsAccount(Place):
    """An AWS account and a region of it, and the provider that talks to both."""

    id: str
    region: str
    permissions_boundary: str | None = None
    """ARN of the policy that limits each role of the stack."""
    log_key: str | None = None
    """ARN of the KMS key of the logs of functions and tasks; None for AWS' own."""
    letters: pulumi.Input[str]
    """ARN of the stack's one dead-letter queue."""


@dataclass(frozen=True, kw_only=True)
class AwsRole:
    """An IAM role. Its ARN is known before it is there: its name is given, and so is the account."""

    name: pulumi.Output[str]
    """Of the role itself: a policy that takes its name from here is made after it."""
    arn: str
    made: pulumi.Output[str]
    """The same ARN, of the role itself."""


@dataclass(frozen=True, kw_only=True)
class EcsTask:
    """The two roles of a task. `reads` is the one of them that reads secrets."""

    account: AwsAccount
    starts: AwsRole
    """The execution role: ECS itself pulls the image, injects secrets and writes logs with it."""
    runs: AwsRole
    """The task role: what the programs in the task are."""
    reads: AwsRole


@dataclass(frozen=True, kw_only=True)
class AwsPods:
    """Pods whose secrets are copied into their namespace by what reads as a role of an AWS account."""

    account: AwsAccount
    reads: AwsRole
    syncs_as: pulumi.Output[str]
    """The service account of their namespace that takes the role."""
    pods: ServiceAccount


@dataclass(frozen=True, kw_only=True)
class AwsCaller:
    """A role or a user of an AWS account that is there already. Nothing is granted to it: its owner does that."""

    account: AwsAccount
    arn: str
    swarm: SwarmService | None = None
    """Whose containers read as it, where the server is in a Swarm."""


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
class ContainerApp:
    """A container app before it is there: where it will run, and as whom it reads."""

    place: AzurePlace
    environment: AzureEnvironment
    reads: AzureIdentity


@dataclass(frozen=True, kw_only=True)
class AzurePods:
    """Pods whose secrets are copied into their namespace by what reads as an identity of Azure."""

    place: AzurePlace
    environment: AzureEnvironment
    """Where the rotator runs."""
    reads: AzureIdentity
    syncs_as: pulumi.Output[str]
    """The service account of their namespace that Entra takes for the identity."""
    pods: ServiceAccount


@dataclass(frozen=True, kw_only=True)
class AzureUser:
    """A person, as whom the launcher on this machine reads."""

    place: AzurePlace
    environment: AzureEnvironment
    """Where the rotator runs."""
    object_id: str


@dataclass(frozen=True, kw_only=True)
class VaultPlace(Place):
    """A Vault server, or a namespace of one, and the provider that talks to it."""

    address: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class VaultRole:
    """A role of an auth method: whoever logs in by it has the policy of its name."""

    place: VaultPlace
    name: str
    login: VaultLogin
    """How a program takes the role: the method, and the file that it shows."""
    audience: str | None
    """Whom a token is for that is shown; None is a cluster's API server, or no token at all."""


@dataclass(frozen=True, kw_only=True)
class VaultReader:
    """Whoever reads for the server, and beside it who rotates: Vault runs nobody's programs, so both are elsewhere."""

    reads: VaultRole
    rotates: VaultRole
    pods: ServiceAccount | None = None
    """What the server's pods run as, where it runs in a cluster."""
    syncs_as: pulumi.Output[str] | None = None
    """The service account that reads in place of the pods', to copy secrets into their namespace."""
    swarm: SwarmService | None = None
    """Whose containers log in as it, where the server is in a Swarm."""


@dataclass(frozen=True, kw_only=True)
class SwarmPlace(Place):
    """A Docker Swarm, by the provider that talks to a manager of it."""

    network: pulumi.Output[str]
    """Id of the stack's own overlay network."""


@dataclass(frozen=True, kw_only=True)
class SwarmService:
    """A service before it is there. It is nobody: what it is given is attached to it."""

    place: SwarmPlace
    base: str
    """What all names of the stack in the Swarm begin with."""


AzureReader = ContainerApp | AzurePods | AzureUser
AwsReader = EcsTask | AwsPods | AwsCaller
Principal = HostUser | ServiceAccount | AwsReader | AzureReader | VaultReader | SwarmService
"""The union grows by one member with each platform that brings an identity."""
