"""Reports and hints: the MQTT messages between launchers and rotators.

A server reports its version in one retained message below its broker user. docs/adr/0003 explains what a report proves.
A hint announces a new version and proves nothing: a launcher then polls its store.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote, unquote

from secretops.engine.state import Replica
from secretops.errors import RefusedError, UnreachableError
from secretops.manifest import Broker
from secretops.targets.connection import DEADLINE_SECONDS, Connection
from secretops.values import Value

if TYPE_CHECKING:
    from paho.mqtt.client import MQTTMessage

# First level of every topic of secretops.
TOPIC_PREFIX = "coreflux-mcp-secrets"
# Servers report at REPORTS/<broker user>/<client id>, both percent-encoded. A report is retained until its client ends.
REPORTS = f"{TOPIC_PREFIX}/replicas"
# A rotator sends a hint to HINTS/<secret>.
HINTS = f"{TOPIC_PREFIX}/hints"
# Where launchers subscribe.
HINT_FILTER = f"{HINTS}/+"
# Seconds for each answer of the broker to a hint. A rotation waits for it.
HINT_SECONDS = 5.0
# Maximum bytes of a hint. A secret's name has at most 40 characters, and a version's id 33.
LONGEST_HINT = 1_000
# Seconds to continue reading after the broker's answer, because some brokers send retained messages a moment later.
QUIET_SECONDS = 0.3


def reports_of(user: str) -> str:
    return f"{REPORTS}/{quote(user, safe='')}"


def report_topic(user: str, client_id: str) -> str:
    return f"{reports_of(user)}/{quote(client_id, safe='')}"


def report_text(secret: str, version: str, since: datetime) -> str:
    return json.dumps({"secret": secret, "version": version, "since": since.isoformat(timespec="seconds")})


# The login succeeded, but the reports cannot be read.
class ReportsError(UnreachableError): ...


def read_reports(
    broker: Broker, credential: Value, users: Sequence[str], *, deadline: float = DEADLINE_SECONDS
) -> tuple[Replica, ...]:
    """Return the reports of servers that are logged in as one of `users`. Raises ReportsError, and errors of
    `Connection`."""
    with Connection(broker, credential, deadline=deadline) as connection:
        try:
            return _read(connection, reports_of(credential["username"]), users, deadline)
        except (RefusedError, UnreachableError) as error:
            raise ReportsError(error.what, rule=error.rule, remedy=error.remedy, code=error.code) from error


def _read(connection: Connection, own: str, users: Sequence[str], deadline: float) -> tuple[Replica, ...]:
    found: dict[str, Replica] = {}
    for tree in sorted({own, *map(reports_of, users)}):
        connection.subscribe(f"{tree}/#")
    # The broker sends retained messages before this later one.
    end = f"{own}/end-{secrets.token_hex(8)}"

    def is_end(message: MQTTMessage) -> bool | None:
        _collect(message, found)
        return True if message.topic == end else None

    connection.publish(end, "")
    if not connection.receive(is_end):
        raise UnreachableError(
            f"{connection.address}: not all reports of servers arrived in {deadline:g} s",
            rule="the broker must send every report, a retained message; it drops messages when a queue is full",
            remedy=f"remove retained messages below {REPORTS} that no server of a stack has published, and let only "
            "the servers' users publish there",
            code="server-reports-incomplete",
        )
    connection.receive(is_end, within=min(QUIET_SECONDS, deadline))
    return tuple(found[topic] for topic in sorted(found) if found[topic].user in users)


def _collect(message: MQTTMessage, found: dict[str, Replica]) -> None:
    """Add a report to `found`, or remove it if the message is empty. Raises UnreachableError if it is invalid."""
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
            f"a retained message below {REPORTS} is not a valid server report",
            rule="only a launcher may publish a report, which names the version that its server uses",
            remedy=f"find the message: mosquitto_sub -v --retained-only -t '{REPORTS}/#'; delete it with an empty "
            "retained message; then find out which other users may publish there",
            code="server-report-invalid",
        ) from None
    found[message.topic] = Replica(
        id=client_id,
        user=user,
        secret=secret,
        version=version,
        since=since if since.tzinfo else since.replace(tzinfo=UTC),
    )


class Hint(NamedTuple):
    secret: str
    version: str


def publish_hint(broker: Broker, credential: Value, hint: Hint) -> None:
    with Connection(broker, credential, deadline=HINT_SECONDS) as connection:
        connection.publish(f"{HINTS}/{hint.secret}", json.dumps(hint._asdict()))


def parse_hint(payload: bytes | bytearray) -> Hint | None:
    """Parse a hint. Return None if it is invalid, since any user with the right to publish can forge hints."""
    if len(payload) > LONGEST_HINT:
        return None
    try:
        found = json.loads(payload)
        hint = Hint(found["secret"], found["version"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return hint if all(isinstance(text, str) for text in hint) else None
