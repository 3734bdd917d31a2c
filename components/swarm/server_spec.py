"""Arguments and service of the MCP server: the launcher over streamable HTTP. Does not import pulumi_docker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import pulumi

from secretops.platforms.swarm.location import MountedSecret

from ..core.broker import ca_bundle
from ..core.mcp_server import McpServerArgs
from ..core.references import Fetched, MountedFiles
from .names import Names, variables_to
from .service_spec import (
    CA_FILE,
    LOGIN_FILE,
    MEBIBYTE,
    PYTHON,
    STORE_CA_FILE,
    USER,
    Health,
    PublicFile,
    Resources,
    Shape,
    SwarmArgs,
    Update,
)

# The launcher's port. Port 8000 is for the verifier that the server's tool verify_lot_snippet calls.
PORT = 8080

# Seconds until SIGKILL. The launcher ends within 5 seconds (docs/operations/http.md), and Docker adds 2. `pulumi
# destroy` waits this long for a container to be removed.
END_WITHIN = 60

# A replica fails after two minutes without an answer. The launcher answers even while a tool blocks
# (docs/operations/http.md).
HEALTH = Health(command=(PYTHON, "-m", "secretops.launcher.health"), interval=5, timeout=5, start_period=30, retries=24)

# An old replica ends once its new replica is healthy. An unhealthy new replica causes a rollback of the service.
START_FIRST = Update(order="start-first", failure_action="rollback", monitor=5)

BACK = Update(order="start-first", failure_action="pause", monitor=5)


@dataclass(frozen=True, kw_only=True)
class SwarmMcpServerArgs(SwarmArgs, McpServerArgs):
    references: MountedFiles | Fetched
    """Where the server reads secrets: the result of a store's `publish()`, or your own references."""
    replicas: int = 2
    """Number of replicas. It must be 1 with publish ingress, since an MCP session lives in one replica."""
    publish: Literal["none", "ingress", "host"] = "none"
    """Who can connect. none: containers on the stack's overlay network. ingress: also clients, by the same port of
    every node. host: also clients, by a port that Docker chooses on each replica's node."""
    port: int | None = None
    """Port on every node; only with publish ingress."""
    allowed_hosts: Sequence[str] = ()
    """Host names by which MCP clients reach the server, in addition to its names on the overlay network."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""
    networks: Sequence[pulumi.Input[str]] = ()
    """Ids of further overlay networks, e.g. the broker's. A change replaces the service."""
    constraints: Sequence[str] = ()
    """Placement constraints, such as node.labels.zone==a."""
    spread: Sequence[str] = ()
    """Labels of nodes, such as node.labels.zone. Replicas are spread evenly over the values of each label."""
    mounted: Sequence[MountedSecret] | None = None
    """Secrets to mount. By default the service keeps its mounted secrets, which `pulumi up` reads from the manager.
    With a store other than swarm, pass the login, `login_secret(NAME)`."""


def server_shape(names: Names, args: SwarmMcpServerArgs) -> Shape:
    return Shape(
        key="server",
        image=args.image,
        command=(),
        args=_arguments(names, args),
        user=USER,
        environment=_variables(args),
        labels=names.labels,
        replicas=args.replicas,
        # As in the server's example for Kubernetes.
        resources=Resources(cpu=500, memory=512 * MEBIBYTE),
        reserved=Resources(cpu=100, memory=128 * MEBIBYTE),
        update=START_FIRST,
        rollback=BACK,
        stop_within=END_WITHIN,
        health=HEALTH,
        files=tuple(_files(names, args)),
        aliases=(names.base,),
        networks=tuple(args.networks),
        endpoint="vip" if args.publish == "ingress" else "dnsrr",
        publish=None if args.publish == "none" else args.publish,
        port=args.port,
        target=PORT,
        constraints=tuple(args.constraints),
        spread=tuple(args.spread),
        log_driver=args.log_driver,
    )


def _variables(args: SwarmMcpServerArgs) -> dict[str, str]:
    variables = args.public_variables(ca_file=CA_FILE)
    # The launcher adds a suffix, since the old and the new replica of a task slot may overlap.
    variables["MQTT_CLIENT_ID"] = "coreflux-mcp-{{.Task.Slot}}"
    if isinstance(args.references, MountedFiles):
        for secret in args.read_secrets:
            variables |= variables_to(secret, has_ca=bool(args.broker.ca_file))
    elif args.references.login_variable:
        variables[args.references.login_variable] = LOGIN_FILE
    return variables


def _arguments(names: Names, args: SwarmMcpServerArgs) -> tuple[str, ...]:
    arguments = ["run", "--from", args.references.source, "--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    service = names.of("server")
    for name in (names.base, service, f"tasks.{service}", *args.allowed_hosts):
        arguments += ["--allowed-host", name]
    if args.connection_tools:
        arguments.append("--allow-connection-tools")
    return tuple(arguments)


def _files(names: Names, args: SwarmMcpServerArgs) -> Iterator[PublicFile]:
    store_ca = args.references.ca_file if isinstance(args.references, Fetched) else None
    for key, ca_file, target in (("ca", args.broker.ca_file, CA_FILE), ("vault-ca", store_ca, STORE_CA_FILE)):
        if ca_file:
            bundle = ca_bundle(ca_file)
            yield PublicFile(key=key, name=names.config(key, bundle), target=target, text=bundle)
