"""Kubernetes: Secrets of the server's namespace as a store, and the server as a Deployment."""

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
from .settings import KubernetesServer, KubernetesStore

if TYPE_CHECKING:
    from .mcp_server import KubernetesMcpServer
    from .secret_store import KubernetesSecretStore


class Kubernetes(Platform):
    """The platform `kubernetes`."""

    store_settings = KubernetesStore
    server_settings = KubernetesServer
    references = {"kubernetes": (ReferenceKind.MOUNTED_FILES,)}
    why_no_other = "only pods of its namespace can be given its secrets"
    gaps = {
        Feature.ENCRYPTION_AT_REST: "it is the cluster's; secretops doctor looks, and asks you where it can't see",
        Feature.READ_TRAIL: "the API server records each read once whoever runs it gives it the audit policy",
        Feature.GRANT: "one Secret holds all that the server reads; the rotator reads every version of each secret",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        if isinstance(server := sections.get("server"), KubernetesServer):
            yield from cross_field_rules(server, sections)

    def preflight(self, settings: Settings) -> None:
        """Check that a kubeconfig has the context."""
        if isinstance(settings.server, KubernetesServer):
            from .identity import check_kubeconfig

            check_kubeconfig(settings.server.context)

    def first_tick(self, settings: Settings) -> str | None:
        """Return the command that starts a job of the rotator's CronJob, if the server is in the cluster."""
        if not isinstance(server := settings.server, KubernetesServer):
            return None
        context = f" --context {shlex.quote(server.context)}" if server.context else ""
        return (
            "kubectl create job first-tick --from=cronjob/coreflux-mcp-rotator "
            f"-n {server.namespace}{context} (or wait an hour at most)"
        )

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> Pods:
        from .identity import KubernetesIdentity
        from .names import SYNC, user_of

        assert isinstance(server := settings.server, KubernetesServer)
        cluster = KubernetesIdentity(name, server=server, stack=settings.stack, opts=opts)
        return Pods(
            account=cluster.principal,
            sync_user=user_of(server.namespace, SYNC),
            sync_account=cluster.sync_account,
            oidc_provider=server.oidc_provider,
            oidc_issuer=server.oidc_issuer,
        )

    def open_principal(
        self,
        name: str,
        settings: Settings,
        workload: Workload,
        opts: pulumi.ResourceOptions,
    ) -> ServiceAccount:
        """Return the account of the pods, into which kubelets mount the Secrets."""
        assert isinstance(workload, Pods)
        return workload.account

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> KubernetesSecretStore:
        from .secret_store import KubernetesSecretStore

        assert isinstance(settings.store, KubernetesStore)
        assert isinstance(settings.server, KubernetesServer)
        assert isinstance(principal, ServiceAccount)
        return KubernetesSecretStore(
            name,
            store=settings.store,
            server=settings.server,
            broker=settings.broker.args,
            namespace=principal.namespace,
            settings=settings,
            opts=opts,
        )

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> KubernetesMcpServer:
        from .mcp_server import KubernetesMcpServer

        assert isinstance(settings.server, KubernetesServer)
        assert isinstance(workload, Pods)
        assert isinstance(secrets, MountedFiles | SyncedKey)
        return KubernetesMcpServer(
            name,
            server=settings.server,
            broker=settings.broker.args,
            account=workload.account,
            settings=settings,
            secrets=secrets,
            opts=opts,
        )


PLATFORM = Kubernetes()
