"""Names and labels of what secretops makes in a Swarm. A label says which stack a thing is of; a name is for people."""

from __future__ import annotations

import re

from secretops.errors import UsageError
from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.stores import env_file
from secretops.values import Value

# Label: the stack.
INSTANCE = SWARM_INSTANCE
# Label of a secret: id of the config that knows it. Secrets of a config that is lost are not ours to remove.
BOOK = "coreflux-mcp-secrets.book"
# Label of a secret: which of the catalogue it is of.
OF_SECRET = "coreflux-mcp-secrets.secret"  # noqa: S105 # nosec B105 - a label's name
# Label of a secret: the number of its version.
NUMBER = "coreflux-mcp-secrets.number"
# Label of what a remote command is made of: its id.
TASK = "coreflux-mcp-secrets.task"

# Of one secret: https://docs.docker.com/engine/swarm/secrets/
MOST_BYTES = 500 * 1024 - 1

_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?")


def swarm_name(prefix: str, secret: str, number: int, field: str | None = None) -> str:
    """Return the Swarm secret of one field of a version; without a field, of the version's id. Raises UsageError."""
    name = f"{prefix}{secret}-v{number}" + (f"-{field}" if field is not None else "")
    if not _NAME.fullmatch(name):
        raise UsageError(
            f"{name}: no name of a Swarm secret",
            rule="64 characters at most, of letters, digits, dots, dashes and underscores",
            remedy="give the secret, the field or the stack a shorter name",
        )
    return name


def check_value(secret: str, value: Value) -> None:
    """Raise UsageError for what no reader could be given, or no Swarm secret holds."""
    for field, text in value.items():
        env_file.check_text(f"{secret}.{field}", text)
        size = len(text.encode())
        if not 0 < size <= MOST_BYTES:
            raise UsageError(
                f"{secret}.{field}: it is {size} bytes",
                rule=f"a Swarm secret holds 1 to {MOST_BYTES} bytes; nothing was changed",
                remedy="give a value of that size, or leave the field out of the stack",
            )
