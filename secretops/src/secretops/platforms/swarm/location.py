"""The manifest's model of the Docker Swarm store."""

from __future__ import annotations

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


class SwarmFile(Model):
    """The file in the server's containers that has one field of a secret."""

    name: SwarmFileName
    """Below /run/secrets, as the Secret Management Guide names it."""
    mode: FileMode = 0o400


SWARM_INSTANCE = "coreflux-mcp-secrets.instance"
"""Label of all that a stack has in a Swarm: whose it is, as SwarmStore.instance has it."""


def version_file(secret: str) -> str:
    """The file, beside those of the fields, that says which version they are of; the launcher reads it."""
    return f"{secret}-version"


class SwarmStoreLocation(StoreLocation):
    """The secrets of one Swarm, which only its containers can read.

    Docker's own chain finds the daemon of a manager (DOCKER_HOST, the current context).
    """

    kind: Literal["swarm"] = "swarm"
    prefix: SwarmName
    """Begins the name of every secret of the stack: `<prefix>mqtt-v3-password`."""
    state_config: SwarmName
    """Name of the config whose labels say which versions there are, which is current, and who rotates: changed by
    check-and-set on its index. It never holds a value."""
    instance: SwarmName
    """The stack's label on all that is made: a config with another is of another stack."""
    service: SwarmName
    """The server's service, whose list of secrets is the delivery; the rotator moves it, start-first."""
    delivered: dict[SecretName, dict[FieldName, SwarmFile]] = Field(default_factory=dict)
    """secret -> field -> its file in the server's containers. All fields of a version come with one update."""
    uid: UserId
    """The launcher's, whose files they are."""
    image: Image
    """What a tick runs in: no daemon gives a value back, so whoever needs one runs as a task that has it."""
    networks: tuple[SwarmName, ...] = ()
    """Those of that task: where it reaches the broker."""
