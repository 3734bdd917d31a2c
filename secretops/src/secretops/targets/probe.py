"""Prove that a server's user can do what the server will do: log in, subscribe, publish, and get it back."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from secretops.errors import RefusedError
from secretops.manifest import Broker
from secretops.targets.connection import DEADLINE_SECONDS, Connection
from secretops.targets.reports import PLACE
from secretops.values import Value


def probe_topic(filters: Sequence[str]) -> str | None:
    """A topic that the first of `filters` covers and that nobody else uses. None if all are $-topics.

    A filter with a wildcard goes before one without: there the only topic to try is one that others may read.
    """
    plain = [each for each in filters if not each.startswith("$")]
    if not plain:
        return None
    best = next((each for each in plain if "+" in each or "#" in each), plain[0])
    token = secrets.token_hex(8)
    levels: list[str] = []
    for level in best.split("/"):
        match level:
            case "+":
                levels.append(f"{PLACE}-{token}")
            case "#":
                levels += [PLACE, "probe", token]
            case _:
                levels.append(level)
    return "/".join(levels)


def prove_access(broker: Broker, credential: Value, *, deadline: float = DEADLINE_SECONDS) -> None:
    """Log in as `credential` and send itself one message. Raises RefusedError or UnreachableError.

    The message has to come back, because mosquitto acknowledges and drops what the ACL forbids under MQTT 3.1.1.
    """
    with Connection(broker, credential, deadline=deadline) as connection:
        topic = probe_topic(broker.topics)
        if topic is None:
            connection.subscribe(broker.topics[0])
            return
        payload = secrets.token_hex(16)
        connection.subscribe(topic)
        connection.publish(topic, payload)
        if not connection.receive(lambda message: True if message.payload == payload.encode() else None):
            raise RefusedError(
                f"{connection.address}: took a message of {connection.username} on {topic} and did not deliver it",
                rule=f"the user must be able to publish and subscribe to {', '.join(broker.topics)}",
                remedy="allow it in the broker's access list",
            )
