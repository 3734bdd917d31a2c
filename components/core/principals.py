from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pulumi


class Principal:
    """An identity that reads a store."""


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The identity of a server, before that server exists."""

    reader: str | None = None
    """Identity with which the launcher reads another platform's store, e.g. the ARN of a role."""


@dataclass(frozen=True, kw_only=True)
class HostUser(Workload, Principal):
    """A user account of this machine. It owns the files that it reads."""

    uid: int

    @classmethod
    def this(cls, reader: str | None = None) -> HostUser:
        return cls(uid=os.geteuid(), reader=reader)


@dataclass(frozen=True, kw_only=True)
class Namespace:
    name: pulumi.Output[str]
    """The name as an output: resources that use it are created after the namespace, and deleted before it."""
    provider: pulumi.ProviderResource
    known_name: str
    context: str | None
    """Context of the kubeconfig; None means the current context."""


@dataclass(frozen=True, kw_only=True)
class ServiceAccount(Principal):
    namespace: Namespace
    name: pulumi.Output[str]


@dataclass(frozen=True, kw_only=True)
class Pods(Workload):
    """The server's pods before they exist, and how External Secrets copies secrets of other stores into their
    namespace."""

    account: ServiceAccount
    sync_user: str
    """User name of External Secrets' service account at the API server. A cloud trusts tokens with this name."""
    sync_account: Callable[[Mapping[str, pulumi.Input[str]]], pulumi.Output[str]]
    """Declares External Secrets' service account with annotations, and returns its name."""
    oidc_provider: pulumi.Input[str] | None = None
    """ARN of the cluster's OIDC provider in AWS."""
    oidc_issuer: pulumi.Input[str] | None = None
    """URL of the cluster's OIDC issuer, for Entra."""


@dataclass(frozen=True, kw_only=True)
class Place:
    provider: pulumi.ProviderResource

    def under(
        self, component: pulumi.ComponentResource, *, after: Sequence[pulumi.Resource] = (), protect: bool = False
    ) -> pulumi.ResourceOptions:
        """Return options for resources below `component` that are created after the resources `after`."""
        return pulumi.ResourceOptions(
            parent=component, provider=self.provider, depends_on=list(after), protect=protect or None
        )
