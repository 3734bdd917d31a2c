"""How a running server says which version it uses, and how a rotator hears it: a retained MQTT message a server.

Under the broker user that it is logged in as: two stacks on one broker have different users, and need not know of
each other. A server whose user may not publish there (an ACL that does not cover REPORTS) reports nothing, and only
the grace decides.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from secretops.engine.state import Replica
from secretops.manifest import Broker
from secretops.targets.connection import DEADLINE_SECONDS, Connection
from secretops.values import Value

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

REPORTS = "coreflux-mcp-secrets/replicas"
"""Reports are at REPORTS/<broker user>/<client id>, both percent-encoded; retained, and emptied at the client's end."""

QUIET_SECONDS = 0.3
"""How long to go on listening once the broker has answered: some send what is retained a moment later."""

_LEVELS = 2


def report_topic(user: str, client_id: str) -> str:
    """Where the server that is logged in as `user` reports."""
    return f"{REPORTS}/{quote(user, safe='')}/{quote(client_id, safe='')}"


def report_text(secret: str, version: str, since: datetime) -> str:
    """What it says there."""
    return json.dumps({"secret": secret, "version": version, "since": since.isoformat(timespec="seconds")})


def read_reports(
    broker: Broker, credential: Value, users: Sequence[str], *, deadline: float = DEADLINE_SECONDS
) -> tuple[Replica, ...]:
    """What the servers that are logged in as one of `users` report, read as `credential`.

    Raises UnreachableError, RefusedError (also when it may not subscribe there).
    """
    found: dict[str, Replica] = {}
    with Connection(broker, credential, deadline=deadline) as connection:
        connection.subscribe(f"{REPORTS}/#")
        # The broker sends what is retained before what is published afterwards.
        end = f"{REPORTS}/end-{secrets.token_hex(8)}"

        def heard(message: MQTTMessage) -> bool | None:
            _collect(message, found)
            return None

        def ended(message: MQTTMessage) -> bool | None:
            _collect(message, found)
            return True if message.topic == end else None

        connection.publish(end, "")
        connection.receive(ended)
        connection.receive(heard, within=min(QUIET_SECONDS, deadline))
    return tuple(found[topic] for topic in sorted(found) if found[topic].user in users)


def _collect(message: MQTTMessage, found: dict[str, Replica]) -> None:
    """Add what `message` reports. Anybody may write there: what is no report is passed over."""
    found.pop(message.topic, None)
    levels = message.topic.removeprefix(f"{REPORTS}/").split("/")
    if len(levels) != _LEVELS or not message.payload:
        return
    try:
        report = json.loads(message.payload)
        since = datetime.fromisoformat(report["since"])
        secret, version = str(report["secret"]), str(report["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return
    user, client_id = map(unquote, levels)
    found[message.topic] = Replica(
        id=client_id,
        user=user,
        secret=secret,
        version=version,
        since=since if since.tzinfo else since.replace(tzinfo=UTC),
    )
