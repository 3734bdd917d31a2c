"""Replace the MQTT client in use without a failed call or a lost message.

connect → CONNACK → subscriptions acknowledged → swap → the former client unsubscribes and drains → DISCONNECT. For a
few milliseconds both are subscribed: a message may arrive twice, as MQTT allows at QoS 1.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from secretops.errors import RefusedError, SecretopsError
from secretops.launcher.client import BrokerClient
from secretops.launcher.connection import BrokerConnection, no_answer, refusal, set_report, tls_context
from secretops.launcher.settings import ServerSettings

log = logging.getLogger(__name__)

# Seconds for the broker's CONNACK, and for its answers to all subscriptions.
ANSWER_SECONDS = 10.0

# Seconds between two checks whether the attempt is obsolete.
CHECK_SECONDS = 0.2

T = TypeVar("T")


class StoppedError(SecretopsError):
    """The swap is obsolete."""


@dataclass
class Swap:
    """An attempt to change to `settings`, until `is_obsolete` returns True."""

    connection: BrokerConnection
    settings: ServerSettings
    is_obsolete: Callable[[], bool]

    def run(self) -> float | None:
        """Return the seconds of the swap, or None if a tool has changed the connection meanwhile.

        Raises UsageError (TLS files), RefusedError, UnreachableError, StoppedError; the former client stays in use.
        """
        began = time.monotonic()
        former = self.connection.client
        new = self._new()
        try:
            self._connect(new)
            copied = dict(former.subscriptions) if former else {}
            self._subscribe(new, former, copied)
            adopted = self.connection.adopt(new, former, self.settings, copied)
        except BaseException:
            new.disconnect()  # does not wait for its thread: a TLS handshake without an answer takes 5 s
            raise
        if not adopted:
            new.disconnect()
            log.info("No swap: an MCP client has chosen another connection meanwhile.")
            return None
        return time.monotonic() - began

    def _new(self) -> BrokerClient:
        settings = self.settings
        new = self.connection.make(settings.client_id_prefix, settings.protocol)
        new.username_pw_set(settings.mqtt["username"], settings.mqtt["password"])
        set_report(new, settings)
        if settings.tls:
            new.tls_set_context(tls_context(*settings.tls.files))
        return new

    def _connect(self, new: BrokerClient) -> None:
        new.connect(self.settings.broker, self.settings.port)
        self._wait(lambda: new.has_answer(CHECK_SECONDS) or None, new, "nothing in time")
        if new.reason is None:
            raise no_answer(new, new.failure, self.settings.protocol)
        if new.reason.is_failure:
            raise refusal(new, new.reason, self.settings.protocol)

    def _subscribe(self, new: BrokerClient, former: BrokerClient | None, copied: dict[str, int]) -> None:
        """Subscribe to the topics of `former`. Raises RefusedError if the broker grants fewer."""
        had = former.granted() if former and former.is_connected() else set()
        had -= self.connection.own_listeners.keys()
        topics = self.connection.topics | copied
        same = former is not None and (former.host, former.port) == (self.settings.broker, self.settings.port)
        new.subscribe_all(topics, known=had if same else ())  # another broker retains other messages
        verdict = self._wait(lambda: new.verdict(topics, CHECK_SECONDS), new, "no answer to a subscription")
        if lost := sorted(topic for topic in had if not verdict.get(topic, True)):
            raise RefusedError(
                f"the broker does not allow user {new.username!r} to subscribe to {', '.join(lost)}",
                rule="the user of a new version has the rights of the previous user",
                remedy="grant its user the same rights at the broker",
                code="subscription-refused",
            )

    def _wait(self, answer: Callable[[], T | None], new: BrokerClient, otherwise: str) -> T:
        """Wait for `answer` to return a result. Raises UnreachableError, StoppedError."""
        end = time.monotonic() + ANSWER_SECONDS
        while (found := answer()) is None:
            if self.is_obsolete():
                raise StoppedError("the launcher ends, or the source has changed", code="swap-obsolete")
            if time.monotonic() >= end or (new.reason is not None and not new.is_connected()):
                raise no_answer(new, otherwise, self.settings.protocol)
        return found
