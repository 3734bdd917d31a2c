"""The namespace of a stack, and the service account of its server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes import core, meta

from ..core.component import Component
from ..core.naming import stack_name
from ..core.principals import Namespace, Pods, ServiceAccount
from .names import SERVER, SYNC, Place, labels, name_of, user_of
from .network import default_deny

POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "v1.25",
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/audit-version": "latest",
    "pod-security.kubernetes.io/warn": "restricted",
    "pod-security.kubernetes.io/warn-version": "latest",
}
"""Enforced as 1.25 has it, where the level became stable, so that no upgrade stops a pod; a newer one warns."""


@dataclass(frozen=True, kw_only=True)
class KubernetesIdentityArgs:
    """Arguments of KubernetesIdentity."""

    namespace: str = "coreflux-mcp"
    create_namespace: bool = True
    """False if the namespace exists; whoever made it sets its Pod Security level."""
    context: str | None = None
    """Context of the kubeconfig; None is the current one. `secretops` uses it, too."""
    stack: str | None = None
    """What labels contain; by default the name of the Pulumi stack."""
    oidc_provider: pulumi.Input[str] | None = None
    """ARN by which AWS knows the cluster's tokens, if External Secrets reads a store there."""
    oidc_issuer: pulumi.Input[str] | None = None
    """URL by which Entra knows them."""


class KubernetesIdentity(Component):
    """A namespace where only restricted pods run and nothing connects by default, and the server's service account.

    Owns no Role: the store grants what the account may read. A provider of package kubernetes in `opts` is used, and
    has to be for the cluster of `context`; without one the component makes its own.
    """

    def __init__(
        self,
        name: str,
        args: KubernetesIdentityArgs | None = None,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:Identity", name, opts, formerly="")
        args = args or KubernetesIdentityArgs()
        self._name, stack = name, stack_name(args.stack)
        provider = self.get_provider("kubernetes:core/v1:Namespace") or kubernetes.Provider(
            f"{name}-cluster",
            kubeconfig="",  # the SDK would put the path in KUBECONFIG, of whoever ran it last, into the state
            context=args.context,
            cluster_identifier=args.context or "current",  # else another context is an update that makes nothing
            upsert_existing_objects=False,  # what is there already is somebody else's, and stays it
            enable_config_map_mutable=True,  # a ConfigMap of a fixed name is changed in place, not taken away first
            opts=pulumi.ResourceOptions(parent=self),
        )
        namespace = pulumi.Output.from_input(args.namespace)
        if args.create_namespace:
            made = core.v1.Namespace(
                f"{name}-namespace",
                metadata=meta.v1.ObjectMetaArgs(name=args.namespace, labels={**labels(SERVER, stack), **POD_SECURITY}),
                # The values are no resources of the stack, and go with it: with another context or name, too.
                opts=pulumi.ResourceOptions(parent=self, provider=provider, protect=True),
            )
            namespace = name_of(made.metadata, args.namespace)
        self.namespace = Namespace(name=namespace, provider=provider, known_name=args.namespace, context=args.context)
        place = self._place = Place.of(self, self.namespace, SERVER, stack)
        default_deny(f"{name}-default-deny", place)
        account = core.v1.ServiceAccount(
            f"{name}-server-account",
            metadata=place.metadata(SERVER),
            automount_service_account_token=False,
            opts=place.child,
        )
        self.principal = ServiceAccount(namespace=self.namespace, name=name_of(account.metadata, SERVER))
        self.workload = Pods(
            account=self.principal,
            sync_user=user_of(args.namespace, SYNC),
            sync_account=self.sync_account,
            oidc_provider=args.oidc_provider,
            oidc_issuer=args.oidc_issuer,
        )
        self.register_outputs({"namespace": self.namespace.name})

    def sync_account(self, annotations: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
        """Declare the account that External Secrets reads another store as, and return its name.

        It is not the server's: a cloud would give that one's token to its pods.
        """
        account = core.v1.ServiceAccount(
            f"{self._name}-sync-account",
            metadata=self._place.metadata(SYNC, annotations),
            automount_service_account_token=False,
            opts=self._place.child,
        )
        return name_of(account.metadata, SYNC)


def account_for(
    component: Component, name: str, account: ServiceAccount | KubernetesIdentityArgs, stack: str
) -> ServiceAccount:
    """Return `account`, or that of an identity made from such arguments, as a child of the component `name`."""
    if isinstance(account, ServiceAccount):
        return account
    args = replace(account, stack=account.stack or stack)
    return KubernetesIdentity(f"{name}-identity", args, pulumi.ResourceOptions(parent=component)).principal
