"""The base of targets whose credentials are users of a broker."""

from __future__ import annotations

import secrets

from secretops.errors import RefusedError
from secretops.manifest import Broker
from secretops.targets.connection import DEADLINE_SECONDS, Connection
from secretops.targets.reports import TOPIC_PREFIX
from secretops.values import Value


class BrokerUsers:
    """Broker users of servers, or, if `admin`, users that manage other users."""

    # Why an admin cannot change its own password.
    self_change_risk: str

    def __init__(self, broker: Broker, *, admin: bool, deadline: float = DEADLINE_SECONDS) -> None:
        self._broker, self._admin, self._deadline = broker, admin, deadline

    def verify(self, credential: Value) -> None:
        """Prove that `credential` works: an admin runs a command that changes nothing; a server's user receives a
        message that it sends."""
        if self._admin:
            self._verify_admin(credential)
            return
        with self._open(credential) as connection:
            topic = self._probe_topic()
            if topic is None:
                connection.subscribe(self._broker.topics[0])
                return
            # An acknowledgement is no proof: under MQTT 3.1.1 mosquitto acknowledges and drops a denied message.
            payload = secrets.token_hex(16)
            connection.subscribe(topic)
            connection.publish(topic, payload)
            if not connection.receive(lambda message: True if message.payload == payload.encode() else None):
                topics = ", ".join(self._broker.topics)
                raise RefusedError(
                    f"{connection.address}: a message of {connection.username} on {topic} was not delivered",
                    rule=f"the user must be able to publish and subscribe to {topics}",
                    remedy=f"allow {connection.username} to publish and subscribe in the broker's access list",
                    code="broker-topic-denied",
                )

    def _verify_admin(self, credential: Value) -> None:
        raise NotImplementedError

    def _open(self, credential: Value) -> Connection:
        return Connection(self._broker, credential, deadline=self._deadline)

    def _refuse_self(self, admin: Value, username: str) -> None:
        if admin["username"] == username:
            risk = self.self_change_risk
            raise RefusedError(
                f"{username} cannot change its own password",
                rule=f"an admin must not change its own password: {risk}, so the result is unknown",
                remedy="supply another admin of the broker: secretops put broker-admin",
                code="admin-self-change",
            )

    def _probe_topic(self) -> str | None:
        """Return a topic for a test message, or None if all the broker's topics begin with $. Prefers a filter with a
        wildcard, since it allows a topic that nobody uses."""
        plain = [each for each in self._broker.topics if not each.startswith("$")]
        if not plain:
            return None
        token = secrets.token_hex(8)
        replacements = {"+": f"{TOPIC_PREFIX}-{token}", "#": f"{TOPIC_PREFIX}/probe/{token}"}
        best = next((each for each in plain if "+" in each or "#" in each), plain[0])
        return "/".join(replacements.get(level, level) for level in best.split("/"))
