"""How what secretops makes in a Swarm is called and labelled. A label says whose it is; a name is for people."""

from __future__ import annotations

import re

from secretops.errors import UsageError
from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.stores import env_file
from secretops.values import Value

INSTANCE = SWARM_INSTANCE
"""Label: which stack a thing is of."""
BOOK = "coreflux-mcp-secrets.book"
"""Label of a secret: id of the book that knows it. What a book that is lost knew is not ours to remove."""
OF_SECRET = "coreflux-mcp-secrets.secret"  # noqa: S105 # nosec B105 - a label's name
"""Label of a secret: which of the catalogue it is of."""
NUMBER = "coreflux-mcp-secrets.number"
"""Label of a secret: the number of its version."""
TASK = "coreflux-mcp-secrets.task"
"""Label of what a carried command is made of: its id."""

MOST_BYTES = 500 * 1024 - 1
"""Of one secret: https://docs.docker.com/engine/swarm/secrets/"""

_NAME = re.compile(r"[a-zA-Z0-9](?:[a-zA-Z0-9._-]{0,62}[a-zA-Z0-9])?")
"""What a daemon takes for the name of a secret."""


def swarm_name(prefix: str, secret: str, number: int, field: str | None = None) -> str:
    """The Swarm secret of one field of a version; without a field, of the version's id. Raises UsageError."""
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
