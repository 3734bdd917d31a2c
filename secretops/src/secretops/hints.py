"""How a rotator hints that there is a new version, and how a launcher reads that: an MQTT message, retained nowhere.

A hint is never evidence. A forged one makes a launcher look at its store, and a lost one is made good by its poll:
docs/adr/0003.
"""

from __future__ import annotations

import json
from typing import NamedTuple

from secretops.manifest import Broker
from secretops.targets.connection import Connection
from secretops.topics import HINTS
from secretops.values import Value

# Where launchers subscribe.
HINT_FILTER = f"{HINTS}/+"

# How long each answer of the broker may take while a hint is published, in seconds: a rotation waits for it.
DEADLINE_SECONDS = 5.0

# Bytes of a payload that is read. A secret's name has at most 40 characters, and a version's id 33.
MOST_BYTES = 1_000


class Hint(NamedTuple):
    """What a hint says. Both are public."""

    secret: str
    version: str


def publish_hint(broker: Broker, credential: Value, hint: Hint) -> None:
    """Publish `hint` as `credential`. Raises UnreachableError, RefusedError."""
    with Connection(broker, credential, deadline=DEADLINE_SECONDS) as connection:
        connection.publish(f"{HINTS}/{hint.secret}", json.dumps(hint._asdict()))


def parse_hint(payload: bytes | bytearray) -> Hint | None:
    """Return the hint, or None for anything else: anybody who may publish there wrote it."""
    if len(payload) > MOST_BYTES:
        return None
    try:
        found = json.loads(payload)
        hint = Hint(found["secret"], found["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return hint if all(isinstance(text, str) for text in hint) else None
