"""Another client in the place of the one in use, without a failed call.

connect → CONNACK → every subscription of the old one acknowledged → swap → the old one gives its subscriptions back,
finishes its messages → DISCONNECT. Both are subscribed for a moment, between the broker's answer to the new one and
its answer to the old one's unsubscribe: a message published in that moment (a few ms) is twice in the server's buffer,
which knows no duplicates. MQTT lets that happen at QoS 1 anyway; the other way round one could be lost.
"""

from __future__ import annotations

import logging
import ssl
import threading
import time
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.reasoncodes import ReasonCode

from secretops.errors import RefusedError, SecretopsError, UnreachableError
from secretops.launcher.client import BrokerClient
from secretops.launcher.connection import BrokerConnection, no_answer, refusal, tls_context, topics_of
from secretops.launcher.report import introduce, take_back
from secretops.launcher.settings import ServerSettings
from secretops.launcher.upstream import UpstreamServer

log = logging.getLogger(__name__)

ANSWER_SECONDS = 10.0
"""How long the broker may take for CONNACK and for all subscriptions, each. A swap that fails costs nothing."""

LINGER_SECONDS = 0.5
"""How long the old client stays for a call that had it in hand at the moment of the swap."""

DRAIN_SECONDS = 5.0
"""How long the old client stays at most for the broker's acknowledgements."""


class StoppedError(SecretopsError):
    """The process ends; the swap does not happen."""


@dataclass
class Swap:
    """One attempt to go over to `settings`."""

    server: UpstreamServer
    connection: BrokerConnection
    settings: ServerSettings
    stopping: threading.Event

    def run(self) -> float:
        """Do it. Gives the seconds from the first packet to the swap.

        Raises UsageError (TLS files), RefusedError, UnreachableError, StoppedError: then the old client has never been
        touched.
        """
        began = time.monotonic()
        old = self.connection.client
        new = self._connect()
        try:
            copied = self._subscribe(new, old)
            adopted = self.connection.adopt(new, old, self.settings)
        except BaseException:
            _leave(new)
            raise
        took = time.monotonic() - began
        if not adopted:
            _leave(new)
            log.info("An MCP client has chosen another connection meanwhile: that stands.")
        elif old:
            self._retire(old, new, copied)
        return took

    def _connect(self) -> BrokerClient:
        settings = self.settings
        new = self.connection.make(settings.client_id_prefix, settings.protocol)
        answers = _Answers()
        new.on_connect, new.on_disconnect, new.on_connect_fail = answers.connected, answers.ended, answers.failed
        new.username_pw_set(settings.mqtt["username"], settings.mqtt["password"])
        introduce(new, settings)
        if settings.tls:
            new.tls_set_context(tls_context(*settings.tls.files))
        try:
            new.connect_once(settings.broker, settings.port)
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise UnreachableError(no_answer(new, f"TLS failed: {reason}", settings.protocol)) from error
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error) or "no answer"
            raise UnreachableError(no_answer(new, reason, settings.protocol)) from error
        try:
            self._await_yes(new, answers)
        except BaseException:
            _leave(new)
            raise
        return new

    def _subscribe(self, new: BrokerClient, old: BrokerClient | None) -> dict[str, int]:
        """Everything that the old one holds, and who waits for it. Raises when the broker takes less than from it."""
        had = old.granted() if old and old.is_connected() else set()
        copied = topics_of(self.server) | (dict(old.held) if old else {})
        for topic, listener in list(old.listeners.items()) if old else ():
            new.message_callback_add(topic, listener)
        # Another broker keeps other messages.
        same = old is not None and (old.host, old.port) == (self.settings.broker, self.settings.port)
        new.subscribe_all(copied, known=had if same else ())
        end = time.monotonic() + ANSWER_SECONDS
        verdict = None
        while verdict is None and time.monotonic() < end and new.is_connected() and not self.stopping.is_set():
            verdict = new.verdict(copied, min(end, time.monotonic() + 0.2))
        self._check_stopping()
        if verdict is None:
            raise UnreachableError(no_answer(new, "no answer to a subscription", self.settings.protocol))
        if lost := sorted(topic for topic in had if not verdict.get(topic, True)):
            raise RefusedError(
                f"The broker does not let user {new.username!r} subscribe to {', '.join(lost)}",
                rule="a new version may do what the one before it may",
                remedy="give its user the same rights at the broker",
            )
        return copied

    def _retire(self, old: BrokerClient, new: BrokerClient, copied: dict[str, int]) -> None:
        listened = set(old.listeners)
        if old.is_connected():
            old.let_go(topic for topic in copied if topic not in listened)
        self.stopping.wait(LINGER_SECONDS)
        self._follow_up(old, new, copied)
        end = time.monotonic() + DRAIN_SECONDS
        while old.is_connected() and old.unacknowledged() and time.monotonic() < end:
            if self.stopping.wait(0.02):
                break
        if left := old.unacknowledged():
            log.warning("The broker left %s messages of the version before unacknowledged.", left)
        if old.is_connected():
            take_back(old)
        _leave(old)

    def _follow_up(self, old: BrokerClient, new: BrokerClient, copied: dict[str, int]) -> None:
        """What a call that had the old client in hand has done to it since its subscriptions were copied."""
        held = dict(old.held)
        for topic in held.keys() - copied.keys() - new.held.keys():
            if listener := old.listeners.get(topic):
                new.message_callback_add(topic, listener)
            new.subscribe(topic, held[topic])
        for topic in copied.keys() - held.keys() - topics_of(self.server).keys():
            if topic in new.held:
                new.unsubscribe(topic)
                new.message_callback_remove(topic)

    def _await_yes(self, new: BrokerClient, answers: _Answers) -> None:
        end = time.monotonic() + ANSWER_SECONDS
        while not answers.event.wait(0.1) and time.monotonic() < end:
            self._check_stopping()
        if answers.reason is None:
            told = "it closed the connection without a word" if answers.event.is_set() else "nothing in time"
            raise UnreachableError(no_answer(new, told, self.settings.protocol))
        if answers.reason.is_failure:
            raise RefusedError(refusal(new, answers.reason, self.settings.protocol))

    def _check_stopping(self) -> None:
        if self.stopping.is_set():
            raise StoppedError("the launcher ends")


class _Answers:
    """What the broker says to a client that nobody uses yet."""

    def __init__(self) -> None:
        self.event = threading.Event()
        self.reason: ReasonCode | None = None

    def connected(self, _client: mqtt.Client, _userdata: Any, _flags: Any, reason: ReasonCode, _p: Any = None) -> None:
        self.reason = reason
        self.event.set()

    def ended(self, *_: Any) -> None:
        self.event.set()

    def failed(self, *_: Any) -> None:
        self.event.set()


def _leave(client: BrokerClient) -> None:
    client.disconnect()
    client.loop_stop()
