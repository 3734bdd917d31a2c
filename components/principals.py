"""The identities that read secrets. Not persons."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi


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
class AwsAccount:
    """An AWS account and a region of it, and the provider that talks to both."""

    id: str
    region: str
    provider: pulumi.ProviderResource

    def under(
        self, component: pulumi.ComponentResource, *, after: Sequence[pulumi.Resource] = (), protect: bool = False
    ) -> pulumi.ResourceOptions:
        """Options of what lies below `component` in this account, and is made `after` others."""
        return pulumi.ResourceOptions(
            parent=component, provider=self.provider, depends_on=list(after), protect=protect or None
        )


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
class SyncedPods:
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


Principal = HostUser | ServiceAccount | EcsTask | SyncedPods | AwsCaller
"""The union grows by one member with each platform that brings an identity."""
