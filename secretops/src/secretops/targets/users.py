"""The base class of targets whose credentials are a broker's users, and the proof of a server's access."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from secretops.errors import RefusedError
from secretops.manifest import Broker
from secretops.targets.connection import DEADLINE_SECONDS, Connection
from secretops.targets.reports import PLACE
from secretops.values import Value


class BrokerUsers:
    """Users of a broker: a server's, or (`admin`) those that manage users."""

    why_not_self: str
    """Why an admin cannot change its own password."""

    def __init__(self, broker: Broker, *, admin: bool, deadline: float = DEADLINE_SECONDS) -> None:
        self._broker, self._admin, self._deadline = broker, admin, deadline

    def verify(self, credential: Value) -> None:
        """Prove `credential`: a server's user sends itself a message, an admin runs a command that changes nothing."""
        if self._admin:
            self._verify_admin(credential)
        else:
            prove_access(self._broker, credential, deadline=self._deadline)

    def _verify_admin(self, credential: Value) -> None:
        raise NotImplementedError

    def _open(self, who: Value) -> Connection:
        return Connection(self._broker, who, deadline=self._deadline)

    def _refuse_self(self, admin: Value, username: str) -> None:
        if admin["username"] == username:
            raise RefusedError(
                f"{username} would change its own password",
                rule=f"{self.why_not_self}, so the outcome could not be known",
                remedy="let the other one of the two admins do it",
            )


def probe_topic(filters: Sequence[str]) -> str | None:
    """Return a topic below one of `filters` that nobody else uses, or None if all are $-topics.

    Prefers a filter with a wildcard: without one, the topic may have other readers.
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
    """Log in as `credential`, and receive a message that it publishes. Raises RefusedError, UnreachableError.

    Under MQTT 3.1.1 mosquitto acknowledges and drops what the access list forbids.
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
