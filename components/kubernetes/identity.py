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

# The level's version 1.25, the first stable version, is enforced, so that no cluster upgrade stops a pod. The latest
# version only warns.
POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "v1.25",
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/audit-version": "latest",
    "pod-security.kubernetes.io/warn": "restricted",
    "pod-security.kubernetes.io/warn-version": "latest",
}


@dataclass(frozen=True, kw_only=True)
class KubernetesIdentityArgs:
    namespace: str = "coreflux-mcp"
    create_namespace: bool = True
    """Whether to create the namespace. If it exists already, you set its Pod Security level, and `pulumi destroy` does
    not delete it."""
    context: str | None = None
    """Context of the kubeconfig, for Pulumi and `secretops`; None means the current context."""
    stack: str | None = None
    """Value of the label for the stack; by default the Pulumi stack's name."""
    oidc_provider: pulumi.Input[str] | None = None
    """ARN of the cluster's OIDC provider in AWS, for External Secrets on store aws."""
    oidc_issuer: pulumi.Input[str] | None = None
    """URL of the cluster's OIDC issuer, for External Secrets on store azure."""


class KubernetesIdentity(Component):
    """A namespace that requires restricted pods and by default denies connections, and the server's service account.

    The store adds grants. A provider in `opts` must be for the cluster of `context`; by default the component creates a
    provider.
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
            kubeconfig="",  # otherwise the SDK puts the path in KUBECONFIG into the state
            context=args.context,
            cluster_identifier=args.context or "current",
            upsert_existing_objects=False,  # never adopt existing objects
            enable_config_map_mutable=True,  # changes a ConfigMap in place instead of replacing it
            opts=pulumi.ResourceOptions(parent=self),
        )
        namespace = pulumi.Output.from_input(args.namespace)
        if args.create_namespace:
            made = core.v1.Namespace(
                f"{name}-namespace",
                metadata=meta.v1.ObjectMetaArgs(name=args.namespace, labels={**labels(SERVER, stack), **POD_SECURITY}),
                # Deleting or replacing the namespace would delete the secret values, which are not in the stack.
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
        """Declare the service account with which External Secrets reads another store. Return its name.

        It is not the server's account, so that the server's pods cannot get a token for the cloud.
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
    """Return `account`, or, for arguments, the account of a new identity below `component`."""
    if isinstance(account, ServiceAccount):
        return account
    args = replace(account, stack=account.stack or stack)
    return KubernetesIdentity(f"{name}-identity", args, pulumi.ResourceOptions(parent=component)).principal
