"""The server's identity on Kubernetes, and the place that everything else of the stack lies in."""

from __future__ import annotations

from collections.abc import Mapping

import pulumi
import pulumi_kubernetes as kubernetes
from pulumi_kubernetes import core, meta

from secretops.errors import UsageError
from secretops.platforms.kubernetes.kubeconfig import chosen

from ..core.component import Component
from ..core.principals import Namespace, ServiceAccount
from .names import SERVER, SYNC, Place, labels, name_of
from .network import default_deny
from .settings import KubernetesServer

POD_SECURITY = {
    "pod-security.kubernetes.io/enforce": "restricted",
    "pod-security.kubernetes.io/enforce-version": "v1.25",
    "pod-security.kubernetes.io/audit": "restricted",
    "pod-security.kubernetes.io/audit-version": "latest",
    "pod-security.kubernetes.io/warn": "restricted",
    "pod-security.kubernetes.io/warn-version": "latest",
}
"""Enforced as 1.25 has it, where the level became stable, so that no upgrade stops a pod; a newer one warns."""


def check_kubeconfig(context: str | None) -> None:
    """That there is a kubeconfig with that context, or the current one. Raises RunError; asks no API server.

    Left to itself a preview against no cluster at all finds nothing wrong.
    """
    try:
        chosen(context)
    except UsageError as error:
        raise pulumi.RunError(str(error)) from None


class KubernetesIdentity(Component):
    """A namespace where only restricted pods run and nothing connects by default, and the server's service account.

    Owns no Role: what the account may read is for the store to grant.
    """

    def __init__(
        self, name: str, *, server: KubernetesServer, stack: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("coreflux-mcp-secrets:kubernetes:Identity", name, opts)
        provider = kubernetes.Provider(
            "cluster",
            kubeconfig="",  # the SDK would put the path in KUBECONFIG, of whoever ran it last, into the state
            context=server.context,
            cluster_identifier=server.context or "current",  # else another context is an update that makes nothing
            upsert_existing_objects=False,  # what is there already is somebody else's, and stays it
            enable_config_map_mutable=True,  # a ConfigMap of a fixed name is changed in place, not taken away first
            opts=pulumi.ResourceOptions(parent=self),
        )
        namespace = pulumi.Output.from_input(server.namespace)
        if server.create_namespace:
            made = core.v1.Namespace(
                "namespace",
                metadata=meta.v1.ObjectMetaArgs(
                    name=server.namespace, labels={**labels(SERVER, stack), **POD_SECURITY}
                ),
                # The values are no resources of the stack, and go with it: with another context or name, too.
                opts=pulumi.ResourceOptions(parent=self, provider=provider, protect=True),
            )
            namespace = name_of(made.metadata, server.namespace)
        self.namespace = Namespace(name=namespace, provider=provider)
        place = Place.of(self, self.namespace, SERVER, stack)
        default_deny("default-deny", place)
        account = core.v1.ServiceAccount(
            "server-account", metadata=place.metadata(SERVER), automount_service_account_token=False, opts=place.child
        )
        self.principal = ServiceAccount(namespace=self.namespace, name=name_of(account.metadata, SERVER))
        self._place = place
        self.register_outputs({"namespace": self.namespace.name})

    def sync_account(self, annotations: Mapping[str, pulumi.Input[str]]) -> pulumi.Output[str]:
        """The account that External Secrets reads a cloud as, by its `annotations`. Not the server's: the cloud would
        give that one's token to its pods."""
        account = core.v1.ServiceAccount(
            "sync-account",
            metadata=self._place.metadata(SYNC, annotations),
            automount_service_account_token=False,
            opts=self._place.child,
        )
        return name_of(account.metadata, SYNC)
