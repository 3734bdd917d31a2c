"""The MCP server's shape: the launcher over streamable HTTP, its values as files of a container's whole life."""

from __future__ import annotations

from collections.abc import Iterator

from secretops.manifest import Reader

from ..aws.settings import AwsStore
from ..core.broker import BrokerArgs, ca_bundle
from ..settings.section import StoreSection
from ..settings.settings import Settings
from .names import Names, variables_to
from .principals import LOGIN_FILE, STORE_CA_FILE
from .service_spec import USER, Health, PublicFile, Resources, Shape, Update
from .settings import SwarmServer, SwarmStore

PORT = 8080
"""Of the launcher. Not 8000, where the server's own tool looks for a verifier (components/kubernetes/mcp_server.py)."""

CA_FILE = "/etc/coreflux-mcp/ca.crt"

PYTHON = "/opt/secretops/bin/python"

END_WITHIN = 60
"""Seconds, at most. The launcher ends within 5 (docs/operations/http.md); Docker itself lets 2 pass for other nodes to
hear. `pulumi destroy` waits this long for a container to be removed, and fails on a machine that takes longer."""

HEALTH = Health(command=(PYTHON, "-m", "secretops.launcher.health"), interval=5, timeout=5, start_period=30, retries=24)
"""Two minutes until it is given up; health is answered while a tool blocks (docs/operations/http.md)."""

START_FIRST = Update(order="start-first", failure_action="rollback", monitor=5)
"""A replica's end waits for the next one's being healthy; one that is not takes the service back to what it was."""

BACK = Update(order="start-first", failure_action="pause", monitor=5)

MEBIBYTE = 1024 * 1024


def server_shape(names: Names, server: SwarmServer, broker: BrokerArgs, settings: Settings, *, source: str) -> Shape:
    """The server's. `source` is what the launcher is started with: where it finds each value, or whom it asks."""
    return Shape(
        key="server",
        image=server.image,
        command=(),
        args=_arguments(names, server, source),
        user=USER,
        environment=_variables(broker, settings),
        labels=names.labels,
        replicas=server.replicas,
        # As the server's own example for Kubernetes has them.
        resources=Resources(cpu=500, memory=512 * MEBIBYTE),
        reserved=Resources(cpu=100, memory=128 * MEBIBYTE),
        update=START_FIRST,
        rollback=BACK,
        stop_within=END_WITHIN,
        health=HEALTH,
        files=tuple(_files(names, broker, settings.store)),
        aliases=(names.base,),
        networks=server.networks,
        endpoint="vip" if server.publish == "ingress" else "dnsrr",
        publish=None if server.publish == "none" else server.publish,
        port=server.port,
        target=PORT,
        constraints=server.constraints,
        spread=server.spread,
        log_driver=server.log_driver.name if server.log_driver else None,
        log_options=server.log_driver.options if server.log_driver else {},
    )


def _variables(broker: BrokerArgs, settings: Settings) -> dict[str, str]:
    """What is public, and where each value's file is: there once the secret has a value."""
    variables = broker.public_variables(log_level=settings.log_level, agent_url=settings.agent_url, ca_file=CA_FILE)
    # The launcher adds a part of its own, by which two replicas of a slot that overlap are told apart.
    variables["MQTT_CLIENT_ID"] = "coreflux-mcp-{{.Task.Slot}}"
    match settings.store:
        case SwarmStore():
            for secret in settings.catalogue.for_reader(Reader.SERVER):
                variables |= variables_to(secret, has_ca=bool(broker.ca_file))
        case AwsStore():
            variables["AWS_SHARED_CREDENTIALS_FILE"] = LOGIN_FILE
    return variables


def _arguments(names: Names, server: SwarmServer, source: str) -> tuple[str, ...]:
    arguments = ["run", "--from", source, "--transport", "http", "--listen", f"0.0.0.0:{PORT}"]
    service = names.of("server")
    for name in (names.base, service, f"tasks.{service}", *server.allowed_hosts):
        arguments += ["--allowed-host", name]
    if server.connection_tools:
        arguments.append("--allow-connection-tools")
    return tuple(arguments)


def _files(names: Names, broker: BrokerArgs, store: StoreSection) -> Iterator[PublicFile]:
    if broker.ca_file:
        bundle = ca_bundle(broker.ca_file)
        yield PublicFile(key="ca", name=names.config("ca", bundle), target=CA_FILE, text=bundle)
    if store.kind == "vault" and (ca_file := getattr(store, "ca_file", None)):
        bundle = ca_bundle(ca_file)
        yield PublicFile(key="vault-ca", name=names.config("vault-ca", bundle), target=STORE_CA_FILE, text=bundle)
