"""What launchers and rotators send each other over MQTT, apart from the plant's topics: reports and hints.

A running server reports which version it uses, in one retained message below the broker user that it is logged in as:
so two stacks on one broker need not know of each other. What a report proves, and when it may shorten a grace:
docs/adr/0003.

A rotator hints at a new version, in a message that is not retained. A hint is no evidence: a forged one makes a
launcher poll its store, and a poll finds what a lost one announced.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from secretops.engine.state import Replica
from secretops.errors import UnreachableError
from secretops.manifest import Broker
from secretops.targets.connection import DEADLINE_SECONDS, Connection
from secretops.values import Value

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

# The first level of each of them, for people who watch the broker.
PLACE = "coreflux-mcp-secrets"

# Servers report at REPORTS/<broker user>/<client id>, both percent-encoded: retained, and emptied at the client's end.
REPORTS = f"{PLACE}/replicas"

# A rotator hints at a new version at HINTS/<secret>, not retained.
HINTS = f"{PLACE}/hints"

# Where launchers subscribe.
HINT_FILTER = f"{HINTS}/+"

# How long each answer of the broker may take while a hint is published, in seconds: a rotation waits for it.
HINT_SECONDS = 5.0

# Bytes of a payload that is read. A secret's name has at most 40 characters, and a version's id 33.
LONGEST_HINT = 1_000

# How long to go on reading once the broker has answered, in seconds: some send what is retained a moment later.
QUIET_SECONDS = 0.3


def reports_of(user: str) -> str:
    """Return the topic below which the servers that are logged in as `user` report."""
    return f"{REPORTS}/{quote(user, safe='')}"


def report_topic(user: str, client_id: str) -> str:
    """Return where the server that is logged in as `user` reports."""
    return f"{reports_of(user)}/{quote(client_id, safe='')}"


def report_text(secret: str, version: str, since: datetime) -> str:
    """Return what it reports there."""
    return json.dumps({"secret": secret, "version": version, "since": since.isoformat(timespec="seconds")})


def read_reports(
    broker: Broker, credential: Value, users: Sequence[str], *, deadline: float = DEADLINE_SECONDS
) -> tuple[Replica, ...]:
    """Return what the servers that are logged in as one of `users` report, read as `credential`.

    Raises UnreachableError also when not all reports were read, or when something there is no report: the number of
    servers is not known then. Raises RefusedError also when `credential` may not subscribe there.
    """
    found: dict[str, Replica] = {}
    own = reports_of(credential["username"])
    with Connection(broker, credential, deadline=deadline) as connection:
        for tree in sorted({own, *map(reports_of, users)}):
            connection.subscribe(f"{tree}/#")
        # The broker sends what is retained before what is published afterwards.
        end = f"{own}/end-{secrets.token_hex(8)}"

        def is_end(message: MQTTMessage) -> bool | None:
            _collect(message, found)
            return True if message.topic == end else None

        connection.publish(end, "")
        if not connection.receive(is_end):
            raise UnreachableError(
                f"{connection.address}: the reports of servers did not all arrive in {deadline:g} s",
                rule="the broker sends what is retained first, and drops what its queues do not take",
                remedy=f"look at what is retained below {REPORTS}, and at who may publish there",
            )
        connection.receive(is_end, within=min(QUIET_SECONDS, deadline))
    return tuple(found[topic] for topic in sorted(found) if found[topic].user in users)


def _collect(message: MQTTMessage, found: dict[str, Replica]) -> None:
    """Add what `message` reports. Raises UnreachableError where it is no report: the queue's limit counts it, too."""
    found.pop(message.topic, None)
    if not message.payload:
        return
    levels = message.topic.removeprefix(f"{REPORTS}/").split("/")
    try:
        user, client_id = map(unquote, levels)
        report = json.loads(message.payload)
        since = datetime.fromisoformat(report["since"])
        secret, version = str(report["secret"]), str(report["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnreachableError(
            "a retained message where servers report is no report of a server",
            rule=f"the launcher alone publishes below {REPORTS}",
            remedy="find out who else may publish there, and delete it at the broker",
        ) from None
    found[message.topic] = Replica(
        id=client_id,
        user=user,
        secret=secret,
        version=version,
        since=since if since.tzinfo else since.replace(tzinfo=UTC),
    )


class Hint(NamedTuple):
    """What a hint says. Both are public."""

    secret: str
    version: str


def publish_hint(broker: Broker, credential: Value, hint: Hint) -> None:
    """Publish `hint` as `credential`. Raises UnreachableError, RefusedError."""
    with Connection(broker, credential, deadline=HINT_SECONDS) as connection:
        connection.publish(f"{HINTS}/{hint.secret}", json.dumps(hint._asdict()))


def parse_hint(payload: bytes | bytearray) -> Hint | None:
    """Return the hint, or None for anything else: anybody who may publish there wrote it."""
    if len(payload) > LONGEST_HINT:
        return None
    try:
        found = json.loads(payload)
        hint = Hint(found["secret"], found["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return hint if all(isinstance(text, str) for text in hint) else None
