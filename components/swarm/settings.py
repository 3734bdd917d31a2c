"""The sections of a stack file about Docker Swarm: what they may say, and the default for what they do not."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ..aws.field_types import Operator
from ..settings.constraints import between, distinct, matching, no_value
from ..settings.field_types import AbsolutePath, HostName, PinnedImage, Port
from ..settings.section import Section, ServerSection, StoreSection

SwarmNetwork = Annotated[
    str,
    matching(
        r"[a-z0-9]{25}",
        "the id of an overlay network of the Swarm; by its name the provider would make the service anew",
        "docker network inspect --format '{{.Id}}' NAME shows it",
        is_id=True,
    ),
]
SwarmSecret = Annotated[
    str,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?",
        "the name of a secret of the Swarm that an operator made",
        "docker secret ls lists them",
    ),
]
_LABELS = r"(node|engine)\.labels\.[\w.-]+"
Constraint = Annotated[
    str,
    matching(
        rf"(node\.(id|hostname|ip|role|platform\.(os|arch))|{_LABELS}) ?[!=]= ?[\w.:/-]+",
        "a placement constraint as docker service create takes it",
        "write it like node.labels.zone==a",
        is_id=True,
    ),
]
Spread = Annotated[
    str, matching(_LABELS, "a label of nodes that replicas are spread over", "write it like node.labels.zone")
]


class SwarmStore(StoreSection):
    """Secrets of the Docker Swarm that DOCKER_HOST is a manager of, or the current context."""

    kind: Literal["swarm"]
    rotator: Literal["timer", "service"] = "timer"
    """Who starts ticks: a systemd timer that an operator lays down on a manager, or a service of the stack there, which
    holds the daemon's socket for as long as it lives."""
    socket: AbsolutePath = "/var/run/docker.sock"
    """Of the managers' daemons, for that service."""


class LogDriver(Section):
    """Where a container's log goes, which has the launcher's own access records."""

    name: Literal["local", "json-file", "journald", "syslog", "gelf", "fluentd"]
    options: dict[str, Annotated[str, AfterValidator(no_value)]] = Field(default_factory=dict)


class SwarmServer(ServerSection):
    """The MCP server as a service of a Docker Swarm."""

    kind: Literal["swarm"]
    keys_for_stores: ClassVar = {"reader": ("aws",)}
    image: PinnedImage
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    """1 where ingress publishes it."""
    publish: Literal["none", "ingress", "host"] = "none"
    """Who reaches it: containers on its overlay network alone, for example a reverse proxy; by one port of every node;
    or each replica by a port of its node that Docker chooses, for a balancer that finds them."""
    port: Port | None = None
    """Of every node, with publish ingress."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside those on its network."""
    connection_tools: bool = False
    """Whether MCP clients may choose the broker and user of all clients, with the server's connection tools."""
    encrypted: bool = True
    """Whether its overlay network encrypts what goes from node to node (IPsec, which the nodes' kernels must have)."""
    networks: Annotated[tuple[SwarmNetwork, ...], AfterValidator(distinct)] = ()
    """Further overlay networks that server and rotator join, for example the broker's. Another one makes the service
    anew."""
    constraints: Annotated[tuple[Constraint, ...], AfterValidator(distinct)] = ()
    spread: Annotated[tuple[Spread, ...], AfterValidator(distinct)] = ()
    log_driver: LogDriver | None = None
    """Without it the daemons' own."""
    registry_login: bool = False
    """Whether nodes pull the image with the login that whoever deploys has by `docker login`."""
    reader: Operator | None = None
    """As whom the launcher reads, for store aws: a role or a user that is there, whose own policies have to let it."""
    login: SwarmSecret | None = None
    """Secret of the Swarm that an operator made, by which the launcher logs in to another store: an AWS shared
    credentials file, or what Vault's method asks for."""
