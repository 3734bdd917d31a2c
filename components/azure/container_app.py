"""The MCP server on Azure Container Apps: the launcher over streamable HTTP, which fetches its secrets itself.

A native reference would want a value when the app is made, and a changed one restarts the server (docs/adr/0009).
"""

from __future__ import annotations

import pulumi
from pulumi_azure_native import app as container_apps

from ..core.broker import BrokerArgs, ca_bundle
from ..core.mcp_server import McpServer
from ..core.references import Fetched
from ..settings.settings import Settings
from . import containers
from .names import names_of
from .principals import ContainerApp
from .settings import AzureStore, ContainerAppServer

PORT = 8080
"""The image's own. Not 8000: there the server's tool verify_lot_snippet looks for a verifier, as on Kubernetes."""

ALIVE = "/healthz"
"""Answered while the launcher's process does, with values or without."""

END_WITHIN = 20
"""Seconds from SIGTERM to SIGKILL. The launcher ends within 5 (docs/operations/http.md)."""


class ContainerAppMcpServer(McpServer):
    """An app of Container Apps. Owns no value, no network and no grant of a secret."""

    def __init__(
        self,
        name: str,
        *,
        store: AzureStore,
        server: ContainerAppServer,
        broker: BrokerArgs,
        app: ContainerApp,
        settings: Settings,
        secrets: Fetched,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:azure:McpServer", name, opts)
        place, environment, physical = app.place, app.environment, names_of(store, settings.stack).plain("server")
        inside = "" if server.ingress == "network" else "internal."
        host = pulumi.Output.concat(physical, f".{inside}", environment.domain)
        self.endpoint = pulumi.Output.concat("https://", host, "/mcp")
        files = containers.Files({containers.CA_FILE: ca_bundle(broker.ca_file)} if broker.ca_file else {})
        public = broker.public_variables(
            log_level=settings.log_level, agent_url=settings.agent_url, ca_file=containers.CA_FILE
        )
        container_apps.ContainerApp(
            "app",
            container_app_name=physical,
            resource_group_name=place.group,
            location=place.location,
            tags=place.tags,
            environment_id=environment.id,
            workload_profile_name=containers.PROFILE,
            identity=containers.identities(app.reads, environment),
            configuration=container_apps.ConfigurationArgs(
                active_revisions_mode=container_apps.ActiveRevisionsMode.SINGLE,  # the old one ends once the new stands
                max_inactive_revisions=3,
                registries=containers.registries(store, server.image, environment),
                identity_settings=containers.whose_they_are(app.reads, environment),
                ingress=container_apps.IngressArgs(
                    external=server.ingress == "network",
                    target_port=PORT,
                    transport=container_apps.IngressTransportMethod.HTTP,
                    allow_insecure=False,
                    traffic=[container_apps.TrafficWeightArgs(latest_revision=True, weight=100)],
                ),
            ),
            template=container_apps.TemplateArgs(
                init_containers=files.laid_down(server.image),
                containers=[
                    container_apps.ContainerArgs(
                        name="server",
                        image=server.image,
                        command=[containers.PROGRAM],
                        args=_arguments(server, secrets, physical, host),
                        env=containers.variables({**public, "AZURE_CLIENT_ID": app.reads.client_id}),
                        resources=containers.SMALLEST,
                        probes=_probes("/readyz" if server.bootstrapped else ALIVE),
                        volume_mounts=files.mounts,
                    )
                ],
                scale=container_apps.ScaleArgs(min_replicas=server.replicas, max_replicas=server.replicas),
                volumes=files.volumes,
                termination_grace_period_seconds=END_WITHIN,
            ),
            opts=place.under(self),
        )
        self.register_outputs({"endpoint": self.endpoint})


def _arguments(
    server: ContainerAppServer, secrets: Fetched, physical: str, host: pulumi.Output[str]
) -> list[pulumi.Input[str]]:
    arguments: list[pulumi.Input[str]] = ["run", "--from", secrets.source]
    arguments += ["--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    known: list[pulumi.Input[str]] = [physical, host, *server.allowed_hosts]
    for one in known:
        arguments += ["--allowed-host", one]
    return [*arguments, "--allow-connection-tools"] if server.connection_tools else arguments


def _probes(ready: str) -> list[container_apps.ContainerAppProbeArgs]:
    """Of a server that is ready once `ready` answers. The first values come after `pulumi up`, and Container Apps gives
    up a revision that is not ready by then ("Failed to provision revision: Operation expired"). So until the stack says
    that they are there, no probe asks /readyz, and the launcher answers clients with 503, and why."""
    return [
        _probe(container_apps.Type.STARTUP, ALIVE, period=6),
        _probe(container_apps.Type.LIVENESS, ALIVE, period=12),
        _probe(container_apps.Type.READINESS, ready, period=5),
    ]


def _probe(kind: container_apps.Type, path: str, *, period: int) -> container_apps.ContainerAppProbeArgs:
    """`period` in seconds; ten failures are Container Apps' most. A probe has no token: both paths are open."""
    return container_apps.ContainerAppProbeArgs(
        type=kind,
        http_get=container_apps.ContainerAppProbeHttpGetArgs(path=path, port=PORT, scheme=container_apps.Scheme.HTTP),
        period_seconds=period,
        failure_threshold=10,
        timeout_seconds=5,
    )
