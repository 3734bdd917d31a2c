"""A service's specification: `deployed` declares it with Pulumi, `compose` writes it to a file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from ..core.principals import Place, Principal, Workload

# In a container: the launcher's login to another store, and the CA certificates of that store's server.
LOGIN_FILE = "/run/secrets/login/server"
STORE_CA_FILE = "/etc/coreflux-mcp/vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class SwarmPlace(Place):
    network: pulumi.Output[str]
    """Id of the stack's overlay network."""


@dataclass(frozen=True, kw_only=True)
class SwarmService(Workload, Principal):
    """A service before it exists. It has no identity: its secrets are mounted."""

    place: SwarmPlace
    base: str
    """Prefix of the stack's names in the Swarm."""


PYTHON = "/opt/secretops/bin/python"

CA_FILE = "/etc/coreflux-mcp/ca.crt"

MEBIBYTE = 1024 * 1024

# uid and gid of the image.
USER = "10001:10001"

# In memory: nothing is written to a node's disk.
TMP = "/tmp"  # noqa: S108  # nosec B108 - of the container alone
TMP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class LogDriverArgs:
    """Destination of a container's log, which contains the launcher's access records."""

    name: str
    """Driver name, such as local or journald."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The driver's options."""


@dataclass(frozen=True, kw_only=True)
class SwarmArgs:
    """Shared arguments of store and server."""

    image: str
    """The server's image, with tag or digest; rotations use it, too."""
    shared: SwarmService | None = None
    """`service` of a SwarmIdentity or of another component, to share; by default one is made."""
    encrypted: bool = True
    """Whether the stack's overlay network encrypts traffic between nodes."""
    log_driver: LogDriverArgs | None = None
    """Log driver of its containers; by default the daemon's."""


@dataclass(frozen=True, kw_only=True)
class PublicFile:
    key: str
    name: str
    """Config name, with a hash of its content: configs are immutable."""
    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """Health check of a service, in seconds."""

    command: tuple[str, ...]
    interval: int
    timeout: int
    start_period: int
    retries: int


@dataclass(frozen=True, kw_only=True)
class Update:
    """Update of replicas, one at a time, in seconds."""

    order: str
    failure_action: str
    monitor: int


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Resources of a replica: thousandths of a processor; bytes."""

    cpu: int
    memory: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A service without its secrets, which secretops mounts."""

    key: str
    """Part of its name after the stack's."""
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
    """Seconds until SIGKILL."""
    health: Health | None = None
    files: tuple[PublicFile, ...] = ()
    sockets: tuple[str, ...] = ()
    """Node paths to mount."""
    aliases: tuple[str, ...] = ()
    networks: tuple[pulumi.Input[str], ...] = ()
    endpoint: str = "dnsrr"
    """`vip` for one address that a node's kernel balances; `dnsrr` for the addresses of replicas."""
    publish: str | None = None
    port: int | None = None
    """Port of the node; None if Docker chooses one."""
    target: int = 0
    constraints: tuple[str, ...] = ()
    spread: tuple[str, ...] = ()
    hostname: str | None = None
    """Host name of its containers, for access records; None: the container's id."""
    log_driver: LogDriverArgs | None = None


def seconds(number: int) -> str:
    """Write a duration as the daemon does (1m30s for 90), so that a refresh finds no change."""
    minutes, rest = divmod(number, 60)
    return "".join([f"{minutes}m" if minutes else "", f"{rest}s" if rest or not minutes else ""])
