from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ..aws.field_types import Operator
from ..settings.constraints import between, distinct, matching, no_value
from ..settings.field_types import AbsolutePath, HostName, PinnedImage, Port
from ..settings.section import Section, ServerSection, StoreSection
from .server_spec import SwarmMcpServerArgs
from .service_spec import SwarmArgs
from .store_spec import SwarmSecretStoreArgs

SwarmNetwork = Annotated[
    str,
    matching(
        r"[a-z0-9]{25}",
        "the id of an overlay network of the Swarm, not its name: with a name, the provider would replace the service "
        "at each update",
        "docker network inspect --format '{{.Id}}' NAME shows the id",
        is_id=True,
    ),
]
SwarmSecret = Annotated[
    str,
    matching(
        r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,62}[A-Za-z0-9])?",
        "the name of a Swarm secret that you created",
        "docker secret ls lists the secrets",
    ),
]
_LABELS = r"(node|engine)\.labels\.[\w.-]+"
Constraint = Annotated[
    str,
    matching(
        rf"(node\.(id|hostname|ip|role|platform\.(os|arch))|{_LABELS}) ?[!=]= ?[\w.:/-]+",
        "a placement constraint of docker service create",
        "for example node.labels.zone==a",
        is_id=True,
    ),
]
Spread = Annotated[
    str, matching(_LABELS, "a label of nodes over which replicas are spread", "for example node.labels.zone")
]


class SwarmStore(StoreSection):
    """Secrets of the Docker Swarm that DOCKER_HOST or the current context names."""

    kind: Literal["swarm"]
    arguments = (SwarmSecretStoreArgs,)
    rotator: Literal["timer", "service"] = "timer"
    socket: AbsolutePath = "/var/run/docker.sock"


class LogDriver(Section):
    """Destination of a container's log, which contains the launcher's access records."""

    name: Literal["local", "json-file", "journald", "syslog", "gelf", "fluentd"]
    options: dict[str, Annotated[str, AfterValidator(no_value)]] = Field(default_factory=dict)


class SwarmServer(ServerSection):
    """The MCP server as a service of a Docker Swarm."""

    kind: Literal["swarm"]
    arguments = (SwarmMcpServerArgs, SwarmArgs)
    keys_for_stores: ClassVar = {"reader": ("aws",)}
    image: PinnedImage
    replicas: Annotated[int, between(1, 100, "replicas")] = 2
    publish: Literal["none", "ingress", "host"] = "none"
    port: Port | None = None
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    connection_tools: bool = False
    encrypted: bool = True
    networks: Annotated[tuple[SwarmNetwork, ...], AfterValidator(distinct)] = ()
    """Further overlay networks for server and rotator, e.g. the broker's. A change replaces the service."""
    constraints: Annotated[tuple[Constraint, ...], AfterValidator(distinct)] = ()
    spread: Annotated[tuple[Spread, ...], AfterValidator(distinct)] = ()
    log_driver: LogDriver | None = None
    registry_login: bool = False
    """Whether nodes pull the image with the `docker login` of the machine that deploys."""
    reader: Operator | None = None
    """Role or user with which the launcher reads store aws. Its policies must allow that."""
    login: SwarmSecret | None = None
    """Swarm secret with the launcher's login to another store: an AWS shared credentials file, or the credential for
    Vault's login method. You create it."""
