"""A service's specification, which `deployed` declares with Pulumi, and `compose` writes to a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from ..core.principals import Place, Principal, Workload

# Paths in a container: the launcher's login to another store, and the CA certificates of that store's server.
LOGIN_FILE = "/run/secrets/login/server"
STORE_CA_FILE = "/etc/coreflux-mcp/vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class SwarmPlace(Place):
    network: pulumi.Output[str]
    """Id of the stack's overlay network."""


@dataclass(frozen=True, kw_only=True)
class SwarmService(Workload, Principal):
    """Provider, network and names for the server's service, which needs no identity: the Swarm mounts its secrets."""

    place: SwarmPlace
    base: str
    """Prefix of the stack's names in the Swarm."""


PYTHON = "/opt/secretops/bin/python"

CA_FILE = "/etc/coreflux-mcp/ca.crt"

MEBIBYTE = 1024 * 1024

# uid and gid of the image.
USER = "10001:10001"

# A folder in memory, so that nothing is written to a node's disk.
TMP = "/tmp"  # noqa: S108  # nosec B108 - each container has its own
TMP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class LogDriverArgs:
    """Destination of a container's log, which contains the launcher's access records."""

    name: str
    """Driver name, such as local or journald."""
    options: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class SwarmArgs:
    image: str
    """The server's image, with tag or digest. Rotations run in it, too."""
    shared: SwarmService | None = None
    """The property `service` of a SwarmIdentity or of another component, to share it. By default the component creates
    its own."""
    encrypted: bool = True
    """Whether the stack's overlay network encrypts traffic between nodes (IPsec, which nodes' kernels must support)."""
    log_driver: LogDriverArgs | None = None
    """Log driver of the containers; by default the daemon's."""


@dataclass(frozen=True, kw_only=True)
class PublicFile:
    key: str
    name: str
    """Name of the config, with a hash of its text: configs are immutable."""
    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """Health check of a service. Times are in seconds."""

    command: tuple[str, ...]
    interval: int
    timeout: int
    start_period: int
    retries: int


@dataclass(frozen=True, kw_only=True)
class Update:
    """How replicas are updated: one at a time. Times are in seconds."""

    order: str
    failure_action: str
    monitor: int


@dataclass(frozen=True, kw_only=True)
class Resources:
    """CPU of a replica in thousandths of a processor, and memory in bytes."""

    cpu: int
    memory: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A service's specification without its secrets, which secretops mounts."""

    key: str
    """The part of the service's name after the stack's name."""
    image: str
    command: tuple[str, ...]
    args: tuple[str, ...]
    user: str
    environment: Mapping[str, str]
    labels: Mapping[str, str]
    replicas: int
    resources: Resources
    reserved: Resources
    update: Update
    rollback: Update | None
    stop_within: int
    """Seconds from SIGTERM to SIGKILL."""
    health: Health | None = None
    files: tuple[PublicFile, ...] = ()
    sockets: tuple[str, ...] = ()
    """Paths of the node's sockets, mounted at the same paths."""
    aliases: tuple[str, ...] = ()
    networks: tuple[pulumi.Input[str], ...] = ()
    endpoint: str = "dnsrr"
    """How clients find replicas. vip: one address, which the node's kernel balances. dnsrr: the addresses of all
    replicas."""
    publish: str | None = None
    port: int | None = None
    """Port of the node; None if Docker chooses one."""
    target: int = 0
    constraints: tuple[str, ...] = ()
    spread: tuple[str, ...] = ()
    hostname: str | None = None
    """Host name of the containers, for access records; None for the container's id."""
    log_driver: LogDriverArgs | None = None


def seconds(number: int) -> str:
    """Return a duration in the form that Pulumi's Docker provider reads back (1m30s for 90), so that a refresh finds no
    change."""
    minutes, rest = divmod(number, 60)
    return "".join([f"{minutes}m" if minutes else "", f"{rest}s" if rest or not minutes else ""])
