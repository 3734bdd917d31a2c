"""The MCP server on Azure Container Apps. The launcher fetches its secrets.

A secret reference of Container Apps would require a value when the app is created, and a new value would restart the
app (docs/adr/0009).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi
from pulumi_azure_native import app as container_apps

from ..core.broker import ca_bundle
from ..core.mcp_server import McpServer, McpServerArgs
from ..core.references import Fetched
from . import containers
from .identity import AzureArgs, container_app
from .principals import ContainerApp

# Port of the launcher in the image. Port 8000 is for the verifier that the server's tool verify_lot_snippet calls.
PORT = 8080

# Path at which the launcher answers 200 as long as it runs, even without secret values.
ALIVE = "/healthz"

# Seconds from SIGTERM to SIGKILL. The launcher ends within 5 (docs/operations/http.md).
END_WITHIN = 20


@dataclass(frozen=True, kw_only=True)
class ContainerAppMcpServerArgs(McpServerArgs, AzureArgs):
    references: Fetched
    """Returned by the store's method `publish`."""
    image: pulumi.Input[str]
    """The image that docs/operations/image.md builds, in your registry."""
    app: ContainerApp | None = None
    """The server's identity, from `container_app()` of AzureIdentities. By default the component creates an identity,
    and you grant it access to the secrets."""
    bootstrapped: bool = False
    """Set it to true once the server's secrets have values. A new revision must then be ready before it replaces the
    old one."""
    ingress: Literal["environment", "network"] = "environment"
    """Who can connect. environment: apps in the same environment. network: the environment's whole virtual network."""
    allowed_hosts: Sequence[pulumi.Input[str]] = ()
    """Host names by which MCP clients reach the server, in addition to its name in Container Apps."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""


class ContainerAppMcpServer(McpServer):
    """An app of Container Apps. Creates no network, and grants no access to secrets."""

    app: ContainerApp

    def __init__(self, name: str, args: ContainerAppMcpServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:azure:McpServer", name, opts, formerly="")
        self.app = args.app or container_app(name, args.open_environment(name, self), self)
        environment, reads = self.app.environment, self.app.reads
        place, physical, image = environment.place, environment.place.names.plain("server"), args.image
        inside = "" if args.ingress == "network" else "internal."
        host = pulumi.Output.concat(physical, f".{inside}", environment.domain)
        self.endpoint = pulumi.Output.concat("https://", host, "/mcp")
        ca_file = args.broker.ca_file
        files = containers.Files({containers.CA_FILE: ca_bundle(ca_file)} if ca_file else {})
        public = args.public_variables(ca_file=containers.CA_FILE)
        container_apps.ContainerApp(
            f"{name}-app",
            container_app_name=physical,
            resource_group_name=place.group,
            location=place.location,
            tags=place.tags,
            environment_id=environment.id,
            workload_profile_name=containers.PROFILE,
            identity=containers.identities(reads, environment),
            configuration=container_apps.ConfigurationArgs(
                active_revisions_mode=container_apps.ActiveRevisionsMode.SINGLE,  # the new revision replaces the old
                max_inactive_revisions=3,
                registries=containers.registries(image, environment),
                identity_settings=containers.identity_settings(reads, environment),
                ingress=container_apps.IngressArgs(
                    external=args.ingress == "network",
                    target_port=PORT,
                    transport=container_apps.IngressTransportMethod.HTTP,
                    allow_insecure=False,
                    traffic=[container_apps.TrafficWeightArgs(latest_revision=True, weight=100)],
                ),
            ),
            template=container_apps.TemplateArgs(
                init_containers=files.init_containers(image),
                containers=[
                    container_apps.ContainerArgs(
                        name="server",
                        image=image,
                        command=[containers.PROGRAM],
                        args=_arguments(args, [physical, host, *args.allowed_hosts]),
                        env=containers.variables({**public, "AZURE_CLIENT_ID": reads.client_id}),
                        resources=containers.SMALLEST,
                        probes=_probes("/readyz" if args.bootstrapped else ALIVE),
                        volume_mounts=files.mounts,
                    )
                ],
                # An MCP session lives in one replica, and most MCP clients ignore the cookie for session affinity.
                scale=container_apps.ScaleArgs(min_replicas=1, max_replicas=1),
                volumes=files.volumes,
                termination_grace_period_seconds=END_WITHIN,
            ),
            opts=place.under(self),
        )
        self.register_outputs({"endpoint": self.endpoint})


def _arguments(args: ContainerAppMcpServerArgs, hosts: Sequence[pulumi.Input[str]]) -> list[pulumi.Input[str]]:
    found: list[pulumi.Input[str]] = ["run", "--from", args.references.source]
    found += ["--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    for host in hosts:
        found += ["--allowed-host", host]
    return [*found, "--allow-connection-tools"] if args.connection_tools else found


def _probes(ready: str) -> list[container_apps.ContainerAppProbeArgs]:
    """Return the probes of a server that is ready once the path `ready` answers.

    Before `bootstrapped`, no probe uses /readyz. The first values come after `pulumi up`; until then /readyz answers
    503, and Container Apps fails a revision that is not ready in time ("Failed to provision revision: Operation
    expired").
    """
    return [
        _probe(container_apps.Type.STARTUP, ALIVE, period=6),
        _probe(container_apps.Type.LIVENESS, ALIVE, period=12),
        _probe(container_apps.Type.READINESS, ready, period=5),
    ]


def _probe(kind: container_apps.Type, path: str, *, period: int) -> container_apps.ContainerAppProbeArgs:
    return container_apps.ContainerAppProbeArgs(
        type=kind,
        http_get=container_apps.ContainerAppProbeHttpGetArgs(path=path, port=PORT, scheme=container_apps.Scheme.HTTP),
        period_seconds=period,
        failure_threshold=10,
        timeout_seconds=5,
    )
