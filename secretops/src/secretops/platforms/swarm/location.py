from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from secretops.manifest.field_types import FieldName, SecretName, between, matching
from secretops.manifest.model import Model, StoreLocation

SwarmName = Annotated[str, matching(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", "a name of a Swarm, at most 64 characters")]
SwarmFileName = Annotated[
    str, matching(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", "a file below /run/secrets: a name without a slash")
]
UserId = Annotated[int, between(0, 2**32 - 2)]
FileMode = Annotated[int, between(0, 0o777)]
Image = Annotated[str, matching(r"[A-Za-z0-9][\w.:/@-]{0,511}", "an image's name, with its tag or digest")]

# Label with the stack's name (SwarmStoreLocation.instance) on all of its objects in a Swarm.
SWARM_INSTANCE = "coreflux-mcp-secrets.instance"


class SwarmFile(Model):
    # Path below /run/secrets, as the server's Secret Management Guide names it.
    name: SwarmFileName
    mode: FileMode = 0o400


@dataclass(frozen=True, kw_only=True)
class MountedSecret:
    secret_id: str
    secret_name: str
    file_name: str
    uid: str
    gid: str
    mode: int


def version_file(secret: str) -> str:
    """Return the name of the file with the id of the mounted version."""
    return f"{secret}-version"


class SwarmStoreLocation(StoreLocation):
    """The secrets of one Swarm. DOCKER_HOST or Docker's current context names the daemon of a manager."""

    kind: Literal["swarm"] = "swarm"
    # Start of the name of every Swarm secret of the stack: `<prefix>mqtt-v3-password`.
    prefix: SwarmName
    # Name of the config whose labels record the versions and the lease, by compare-and-swap. It contains no value.
    state_config: SwarmName
    # Text of the label SWARM_INSTANCE. An object with another text belongs to another stack.
    instance: SwarmName
    # The server's service. To deliver a version, the rotator updates the service's list of secrets, start-first.
    service: SwarmName
    # secret -> field -> its file in the server's containers. One update delivers all fields of a version.
    delivered: dict[SecretName, dict[FieldName, SwarmFile]] = Field(default_factory=dict)
    # Owner of the files: the launcher's user.
    uid: UserId
    # Image of remote commands, which run as a task since no daemon returns a value.
    image: Image
    # Networks of remote commands, for the connection to the broker.
    networks: tuple[SwarmName, ...] = ()
