from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import Pods, Principal, ServiceAccount, Workload
from ..core.references import MountedFiles, Reference, ReferenceKind, SyncedKey
from ..settings.problems import Problem
from ..settings.settings import Settings
from .pod_args import CertificateIssuerArgs, PodArgs, Resources
from .settings import KubernetesServer, KubernetesStore
from .settings import Resources as ResourceSettings

if TYPE_CHECKING:
    from .mcp_server import KubernetesMcpServer
    from .secret_store import KubernetesSecretStore


class Kubernetes(Platform):
    store_settings = KubernetesStore
    server_settings = KubernetesServer
    references = {"kubernetes": (ReferenceKind.MOUNTED_FILES,)}
    why_no_other = "only pods of the store's namespace can mount its Secrets"
    gaps = {
        Feature.ENCRYPTION_AT_REST: "the cluster's administrator configures encryption; secretops doctor checks it, "
        "or prints what to check",
        Feature.READ_TRAIL: "the API server records reads once an administrator installs the audit policy",
        Feature.GRANT: "one Secret has all that the server reads; the rotator reads every version of each secret",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        if isinstance(server := sections.get("server"), KubernetesServer):
            yield from cross_field_rules(server, sections)

    def preflight(self, settings: Settings) -> None:
        if not isinstance(settings.server, KubernetesServer):
            return
        from secretops.errors import UsageError
        from secretops.platforms.kubernetes.kubeconfig import select_context

        try:  # checks the kubeconfig only: a preview needs no cluster
            select_context(settings.server.context)
        except UsageError as error:
            raise pulumi.RunError(str(error)) from None

    def first_tick(self, settings: Settings) -> str | None:
        if not isinstance(server := settings.server, KubernetesServer):
            return None
        context = f" --context {shlex.quote(server.context)}" if server.context else ""
        return (
            "kubectl create job first-tick --from=cronjob/coreflux-mcp-rotator "
            f"-n {server.namespace}{context} (or wait up to an hour)"
        )

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Pods:
        from .identity import KubernetesIdentity, KubernetesIdentityArgs

        assert isinstance(server := settings.server, KubernetesServer)
        args = KubernetesIdentityArgs(**server.arguments_of(KubernetesIdentityArgs), stack=settings.stack)
        return KubernetesIdentity(name, args, opts).workload

    def open_principal(
        self,
        name: str,
        settings: Settings,
        workload: Workload,
        opts: pulumi.ResourceOptions,
    ) -> ServiceAccount:
        assert isinstance(workload, Pods)
        return workload.account

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> KubernetesSecretStore:
        from .secret_store import KubernetesSecretStore, KubernetesSecretStoreArgs

        assert isinstance(settings.store, KubernetesStore)
        assert isinstance(settings.server, KubernetesServer)
        assert isinstance(principal, ServiceAccount)
        args = KubernetesSecretStoreArgs(
            **settings.store_args,
            **pod_args(settings.server, settings.server.rotator_resources),
            account=principal,
            operators=settings.store.operators,
        )
        return KubernetesSecretStore(name, args, opts)

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> KubernetesMcpServer:
        from .mcp_server import KubernetesMcpServer, KubernetesMcpServerArgs

        assert isinstance(server := settings.server, KubernetesServer)
        assert isinstance(workload, Pods)
        assert isinstance(secrets, MountedFiles | SyncedKey)
        args = KubernetesMcpServerArgs(
            **settings.server_args,
            **pod_args(server, server.resources),
            references=secrets,
            account=workload.account,
            replicas=server.replicas,
            rollout_seconds=server.rollout_seconds,
            allowed_hosts=server.allowed_hosts,
            connection_tools=server.connection_tools,
            grace_seconds=settings.rotation.grace_seconds,
            has_rotator=settings.store.kind in ("kubernetes", "vault"),
        )
        return KubernetesMcpServer(name, args, opts)


def pod_args(server: KubernetesServer, resources: ResourceSettings | None) -> dict[str, Any]:
    from pulumi_kubernetes import core

    issuer = server.certificate_issuer
    return server.arguments_of(PodArgs) | {
        "resources": Resources(**resources.model_dump()) if resources else None,
        "tolerations": [core.v1.TolerationArgs(**one.model_dump()) for one in server.tolerations],
        "certificate_issuer": CertificateIssuerArgs(**issuer.model_dump()) if issuer else None,
    }


PLATFORM = Kubernetes()
