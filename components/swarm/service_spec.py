"""What a service of the stack is, said once. `deployed` makes Pulumi's of it, `compose` a file's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from .principals import SwarmService

PYTHON = "/opt/secretops/bin/python"

CA_FILE = "/etc/coreflux-mcp/ca.crt"

MEBIBYTE = 1024 * 1024

USER = "10001:10001"
"""uid and gid, as the image has them."""

TMP = "/tmp"  # noqa: S108  # nosec B108 - of the container alone
"""In memory: what is written there never lies on a node's disk."""

TMP_BYTES = 64 * 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class LogDriverArgs:
    """Where a container's log goes. It contains the launcher's own access records."""

    name: str
    """Name of the driver, such as local or journald."""
    options: Mapping[str, str] = field(default_factory=dict)
    """The driver's options."""


@dataclass(frozen=True, kw_only=True)
class SwarmArgs:
    """Arguments that the store and the server of a Swarm have in common."""

    image: str
    """The server's image, with its tag or digest. A rotation runs in it, too."""
    shared: SwarmService | None = None
    """`service` of a SwarmIdentity or of another component, which this one shares; by default it makes its own."""
    encrypted: bool = True
    """Whether the stack's overlay network encrypts what goes from node to node."""
    log_driver: LogDriverArgs | None = None
    """Where the logs of its containers go; by default the daemon's own driver."""


@dataclass(frozen=True, kw_only=True)
class PublicFile:
    """A file that is no secret, as a config of the Swarm."""

    key: str
    name: str
    """The config's, with its content's hash: it never changes."""
    target: str
    text: str


@dataclass(frozen=True, kw_only=True)
class Health:
    """The one check that a service has: it says when a replica has started, and when it has died. Seconds."""

    command: tuple[str, ...]
    interval: int
    timeout: int
    start_period: int
    retries: int


@dataclass(frozen=True, kw_only=True)
class Update:
    """How a change comes to the replicas: one at a time. Seconds."""

    order: str
    failure_action: str
    monitor: int


@dataclass(frozen=True, kw_only=True)
class Resources:
    """Of each replica: thousandths of a processor, and bytes."""

    cpu: int
    memory: int


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A service. Says nothing of secrets: which versions it is given is secretops' to say."""

    key: str
    """The part of its name after the stack's."""
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
    """Paths of the node's own that it is given as they are."""
    aliases: tuple[str, ...] = ()
    """Names on the stack's own network, beside the service's."""
    networks: tuple[pulumi.Input[str], ...] = ()
    """Ids of networks that others made, beside the stack's own."""
    endpoint: str = "dnsrr"
    """`vip` gives it one address, which a node's kernel shares out; `dnsrr` each replica's own."""
    publish: str | None = None
    port: int | None = None
    """Of the node; None is one that Docker chooses."""
    target: int = 0
    constraints: tuple[str, ...] = ()
    spread: tuple[str, ...] = ()
    hostname: str | None = None
    """In its containers, which the access records of a rotator name; None is the container's id."""
    log_driver: LogDriverArgs | None = None


def seconds(number: int) -> str:
    """As the daemon writes a duration back, so that no refresh finds another: 90 is 1m30s."""
    minutes, rest = divmod(number, 60)
    return "".join([f"{minutes}m" if minutes else "", f"{rest}s" if rest or not minutes else ""])
