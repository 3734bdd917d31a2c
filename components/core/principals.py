"""The identities that read secrets. Not persons."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi


class Principal:
    """Who reads a store."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """Who a server is, before it exists: grants come first."""

    reader: str | None = None
    """As whom the launcher reads a store of another platform, e.g. the ARN of a role."""


@dataclass(frozen=True, kw_only=True)
class HostUser(Workload, Principal):
    """An account of this machine, by uid: who owns the files may read them."""

    uid: int

    @classmethod
    def this(cls, reader: str | None = None) -> HostUser:
        """The account that runs the program."""
        return cls(uid=os.geteuid(), reader=reader)


@dataclass(frozen=True, kw_only=True)
class Namespace:
    """A Kubernetes namespace, and the provider that talks to its cluster."""

    name: pulumi.Output[str]
    """Of the namespace itself: whatever takes its name from here is made after it, and removed before it."""
    provider: pulumi.ProviderResource
    known_name: str
    """The same name, which the program determines."""
    context: str | None
    """The kubeconfig's context of its cluster; None is the current one."""


@dataclass(frozen=True, kw_only=True)
class ServiceAccount(Principal):
    """An account of a Kubernetes namespace: what a Role grants, the pods that run as it may do."""

    namespace: Namespace
    name: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Pods(Workload):
    """The server's pods before they exist, and how another store's secrets get into their namespace."""

    account: ServiceAccount
    sync_user: str
    """The user name of the service account that External Secrets reads another store as, for a cloud to trust."""
    sync_account: Callable[[Mapping[str, pulumi.Input[str]]], pulumi.Output[str]]
    """Declare that account with annotations, and return its name."""
    oidc_provider: pulumi.Input[str] | None = None
    """ARN by which AWS knows the cluster's tokens."""
    oidc_issuer: pulumi.Input[str] | None = None
    """URL by which Entra knows them."""


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
