"""An MQTT client that accounts for what it holds, so that another one can take its place and nothing is lost.

It reports its version, takes the report back, drains and leaves by itself; what it learns it passes to its `Owner`.
"""

from __future__ import annotations

import functools
import logging
import math
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MessageState, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from secretops.launcher.robust_client import FAILURE, GOODBYE, KEEPALIVE, RobustClient
from secretops.manifest import MqttProtocol
from secretops.targets.reports import REPORTS

log = logging.getLogger(__name__)

# Seconds between two attempts at most (paho doubles from 1): how late a broker's recovery may be noticed.
SLOWEST_RETRY = 30

# Seconds after which a broker (MQTT 5) forgets a report that is not renewed, and between two renewals. A report that
# outlives its client, because the broker lost the will, holds up a rotation for no longer than this.
REPORT_EXPIRY, REPORT_REFRESH = 900, 300

# Seconds without a message after which a replaced client asks whether its queue at the broker is empty.
QUIET_SECONDS = 0.3

# QoS at which the launcher itself subscribes.
OWN_QOS = 1

# Seconds that a replaced client stays at most. With 20 messages in flight (mosquitto's default) and a round trip of
# 1.6 s it receives 7,500 of them. Less than the default grace (3600 s), for which the broker accepts its user.
DRAIN_SECONDS = 600.0

NO_WORD = "it closed the connection without a word"

_PROTOCOLS = {MqttProtocol.V5: mqtt.MQTTv5, MqttProtocol.V311: mqtt.MQTTv311}
# Retain Handling (MQTT 5, 3.8.3.1): do not send retained messages; the former client has received them.
_NO_RETAINED = 2

_UNSENT = (MessageState.MQTT_MS_PUBLISH, MessageState.MQTT_MS_QUEUED)
# The broker has answered PUBREC: it owns the message (MQTT 5, 4.3.3).
_ACCEPTED = (MessageState.MQTT_MS_WAIT_FOR_PUBCOMP, MessageState.MQTT_MS_RESEND_PUBREL)


class Owner(Protocol):
    """What a client reports to, mostly on the client's network thread."""

    listeners: dict[str, Callable[..., None]]
    """topic filter -> callback that receives its messages instead of the server, while a tool waits."""

    own_listeners: dict[str, Callable[..., None]]
    """topic filter -> callback of the launcher. No tool can end these subscriptions, or lower their QoS."""

    def connected(self, client: BrokerClient) -> None:
        """Handle the broker's acceptance."""

    def refused(self, client: BrokerClient, reason: ReasonCode) -> None:
        """Handle a refused connect. The client tries again."""

    def unanswered(self, client: BrokerClient, reason: str) -> None:
        """Handle a connect without an answer. The client tries again."""

    def disconnected(self, client: BrokerClient, reason: ReasonCode) -> None:
        """Handle the end of a connection that was accepted."""

    def received(self, client: BrokerClient, message: mqtt.MQTTMessage) -> None:
        """Handle a message."""

    def publish_refused(self, topic: str, reason: ReasonCode) -> None:
        """Handle a publish that the broker refused, other than the client's report."""


P = ParamSpec("P")
R = TypeVar("R")


def _passed_on(method: Callable[Concatenate[BrokerClient, P], R]) -> Callable[Concatenate[BrokerClient, P], R]:
    """Make `method` run on the client's successor once it has one: a call may still use the former client."""

    @functools.wraps(method)
    def run(self: BrokerClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._passing:
            successor = self._successor
            if successor is None:
                return method(self, *args, **kwargs)
        return run(successor, *args, **kwargs)

    return run


def _fixed(handler: str) -> Any:
    """Return a callback property that ignores assignments: upstream's tool mqtt_connect assigns the server's."""
    return property(lambda self: getattr(self, handler), lambda _self, _callback: None)


class BrokerClient(RobustClient):
    """A client that keeps account of its subscriptions and of the messages that the broker has not acknowledged; paho
    offers neither."""

    on_connect = _fixed("_handle_answer")
    on_connect_fail = _fixed("_handle_failure")
    on_disconnect = _fixed("_handle_end")
    on_message = _fixed("_handle_message")
    on_publish = _fixed("_handle_acknowledgement")
    on_subscribe = _fixed("_handle_grants")
    on_unsubscribe = _fixed("_handle_unsubscribed")

    def __init__(self, client_id: str, protocol: MqttProtocol, owner: Owner) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=_PROTOCOLS[protocol])
        self.name = client_id
        self.held: dict[str, int] = {}
        """topic filter -> QoS of every subscription requested and not given up."""
        self.reason: ReasonCode | None = None
        """The broker's answer to the latest connect; None while there is none."""
        self.failure = NO_WORD
        """Why the latest connect has no answer."""
        self._owner = owner
        self._report: tuple[str, str] | None = None
        self._report_again = math.inf
        self._reporting = threading.Lock()
        self._changed = threading.Condition()
        self._answered = False
        self._left = False
        self._asked: dict[int, tuple[str, ...]] = {}
        self._answers: dict[int, list[bool]] = {}
        self._verdicts: dict[str, bool] = {}
        self._unsubscribed: set[int] = set()
        self._received = 0
        self._passing = threading.Lock()
        self._successor: BrokerClient | None = None
        self._unwritten: deque[tuple[mqtt.MQTTMessageInfo, mqtt.MQTTMessage]] = deque()
        self.reconnect_delay_set(min_delay=1, max_delay=SLOWEST_RETRY)
        self.suppress_exceptions = True  # an exception in a callback would end the network thread

    # How it connects and disconnects

    def connect(self, host: str, port: int = 1883, keepalive: int = KEEPALIVE, *_: Any, **__: Any) -> MQTTErrorCode:
        """Connect in the background; do nothing once the client is replaced or has left.

        Either may happen while a tool waits in `loop_stop`. Upstream ignores the result and reads the connection's
        state, which is that of the client in use.
        """
        if self._successor is None:
            self.loop_stop()
        with self._passing:
            if self._successor is None and not self._left:
                return super().connect(host, port, keepalive)
        return mqtt.MQTT_ERR_SUCCESS

    def reconnect(self) -> MQTTErrorCode:
        """Connect once, on the network thread."""
        self.reason, self._answered = None, False
        return super().reconnect()

    def has_answer(self, seconds: float) -> bool:
        """Wait up to `seconds` until the owner knows the connect's answer (`reason`), or its failure."""
        with self._changed:
            return self._changed.wait_for(lambda: self._answered, seconds)

    def disconnect(self, reasoncode: ReasonCode | None = None, properties: Properties | None = None) -> MQTTErrorCode:
        """Take the report back, then disconnect. Waits up to GOODBYE seconds for the broker to take it."""
        with self._reporting:
            self._ending = True  # nothing is reported from here on
            reported, self._report_again = self._report_again < math.inf, math.inf
        if self._report and reported and self.is_connected():
            topic = self._report[0]
            info = super().publish(topic, b"", 1, True)
            if threading.current_thread() is not self._thread and info.rc == mqtt.MQTT_ERR_SUCCESS:
                info.wait_for_publish(GOODBYE)
            with self._out_message_mutex:
                waits = self._out_messages.pop(info.mid, None)
            if waits:  # behind messages that are not acknowledged. Of QoS 0 it goes out before the DISCONNECT.
                super().publish(topic, b"", 0, True)
        return super().disconnect(reasoncode, properties)

    def leave(self) -> None:
        """Disconnect for good: nothing is published or connected from here on. Waits up to GOODBYE seconds twice."""
        with self._passing:
            self._left = True
        super().leave()

    # What it reports

    def introduce(self, topic: str, text: str) -> None:
        """Set the report, and before `connect` also the last will that takes it back. Reports nothing yet."""
        self._report = (topic, text)
        self.will_set(topic, b"", qos=1, retain=True)

    def tell(self) -> None:
        """Publish the report, and publish it again every REPORT_REFRESH seconds until `disconnect`.

        Under MQTT 5 it expires after REPORT_EXPIRY seconds. 3.1.1 has no expiry: a report stays when its client dies
        and the broker loses the will.
        """
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = REPORT_EXPIRY
        with self._reporting:
            if self._report and not self._ending:
                self._report_again = time.monotonic() + REPORT_REFRESH
                super().publish(*self._report, 1, True, properties if self.protocol == mqtt.MQTTv5 else None)

    def loop_misc(self) -> MQTTErrorCode:
        """Renew the report when it is time; the network thread calls this once a second at least."""
        if time.monotonic() >= self._report_again:
            self.tell()
        return super().loop_misc()

    # What tools do with it

    @_passed_on
    def subscribe(
        self,
        topic: Any,
        qos: int = 0,
        options: SubscribeOptions | None = None,
        properties: Properties | None = None,
    ) -> tuple[MQTTErrorCode, int | None]:
        if isinstance(topic, str) and topic in self._owner.own_listeners:
            qos = max(qos, OWN_QOS)
        result, number = super().subscribe(topic, qos, options, properties)
        if isinstance(topic, str):
            self._note_question(number, {topic: options.QoS if options else qos})
        return result, number

    @_passed_on
    def unsubscribe(self, topic: Any, properties: Properties | None = None) -> tuple[MQTTErrorCode, int | None]:
        if topic in self._owner.own_listeners:
            return mqtt.MQTT_ERR_SUCCESS, None
        with self._changed:
            self.held.pop(topic, None)
            self._verdicts.pop(topic, None)
        return super().unsubscribe(topic, properties)

    def message_callback_add(self, sub: str, callback: Callable[..., None]) -> None:
        """Deliver what matches `sub` to `callback`, whichever client receives it: a swap changes nothing for it."""
        self._owner.listeners[sub] = callback

    def message_callback_remove(self, sub: str) -> None:
        self._owner.listeners.pop(sub, None)

    @_passed_on
    def publish(
        self,
        topic: str,
        payload: Any = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> mqtt.MQTTMessageInfo:
        if topic.startswith(f"{REPORTS}/"):
            raise ValueError(f"{topic}: the launcher alone publishes there")
        if self._left:
            info = mqtt.MQTTMessageInfo(0)
            info.rc = mqtt.MQTT_ERR_CONN_LOST
            return info
        info = super().publish(topic, payload, qos, retain, properties)
        if qos == 0 and info.rc == mqtt.MQTT_ERR_SUCCESS:
            message = mqtt.MQTTMessage(info.mid, topic.encode())
            message.payload, message.retain, message.properties = payload, retain, properties
            self._unwritten.append((info, message))
            while self._unwritten and _is_over(self._unwritten[0][0]):
                self._unwritten.popleft()
        return info

    # How another one takes its place

    def subscribe_all(self, topics: Mapping[str, int], *, known: Collection[str]) -> None:
        """Subscribe to all in one packet, `known` ones without their retained messages where MQTT 5 allows that; under
        3.1.1 they arrive once more.

        To a packet each a broker gives an answer each, and with Nagle's algorithm on (mosquitto's default) the second
        waits for the acknowledgement of the first, 40 ms on Linux.
        """
        if not topics:
            return
        asked: list[tuple[str, Any]] = list(topics.items())
        if self.protocol == mqtt.MQTTv5:
            retained = {topic: _NO_RETAINED if topic in known else 0 for topic in topics}
            asked = [(topic, SubscribeOptions(qos, retainHandling=retained[topic])) for topic, qos in topics.items()]
        _, number = super().subscribe(asked)
        self._note_question(number, topics)

    def granted(self) -> set[str]:
        """Return the topic filters that the broker has granted."""
        with self._changed:
            return {topic for topic, granted in self._verdicts.items() if granted}

    def verdict(self, topics: Iterable[str], seconds: float) -> dict[str, bool] | None:
        """Return whether each of `topics` was granted; None when not all are answered within `seconds`, or when the
        connection ends."""
        wanted = list(topics)

        def answered() -> bool:
            return all(topic in self._verdicts for topic in wanted)

        with self._changed:
            self._changed.wait_for(lambda: answered() or not self.is_connected(), seconds)
            return {topic: self._verdicts[topic] for topic in wanted} if answered() else None

    def pass_on_to(self, successor: BrokerClient, copied: Mapping[str, int]) -> None:
        """Let `successor` take every call from now on, with the messages that this client has not sent, in their order.

        `copied` are the subscriptions of this client that `successor` has taken over; changes since then follow.
        """
        with self._passing:
            for topic in self.held.keys() - copied.keys():
                successor.subscribe(topic, self.held[topic])
            for topic in copied.keys() - self.held.keys():
                successor.unsubscribe(topic)
            self._successor = successor
            self._publish_again(self._take_messages(unsent_only=True), successor)

    def retire(self, closing: threading.Event) -> None:
        """Give the subscriptions back, stay until nothing is under way in either direction, then leave.

        Ends early when the connection ends, when `closing` is set, or after DRAIN_SECONDS. The successor then
        publishes what the broker has not acknowledged: QoS 1 arrives at least once. QoS 2 is published again only
        without a PUBREC; whether the broker had received it can't be known then, so it may arrive twice. With a PUBREC
        the broker owns it; whether it delivers it without our PUBREL can't be known either.
        """
        was_connected = self.is_connected()
        if not self._drain(closing) and was_connected and not closing.is_set():
            log.warning(
                "The former MQTT client leaves before its queue at the broker is empty (%s): messages that wait there "
                "are lost.\n-> check the broker's log and load; publish again what the server has to receive.",
                f"after {DRAIN_SECONDS:.0f} s" if self.is_connected() else "the broker has ended its connection",
            )
        self.leave()
        with self._in_message_mutex:
            accepted = list(self._in_messages.values())  # of QoS 2: ours since our PUBREC
            self._in_messages.clear()
        for message in accepted:
            self._handle_on_message(message)
        if self._successor:
            self._publish_again(self._take_messages(), self._successor)
        log.info("The former MQTT client has left.")

    def unacknowledged(self) -> int:
        """Return how many messages the broker has not acknowledged yet."""
        return len(self._out_messages) + sum(not _is_over(info) for info, _ in list(self._unwritten))

    def _drain(self, closing: threading.Event) -> bool:
        """Return True once nothing is under way.

        A broker sends what it has queued as room becomes free, and answers UNSUBSCRIBE after that: when nothing has
        arrived between the question and its answer, the queue was empty, however slow the network is.
        """
        end = time.monotonic() + DRAIN_SECONDS
        topics = list(self.held) or [self.name]
        while self.is_connected() and not closing.is_set() and time.monotonic() < end:
            received = self._received
            self._unsubscribed.clear()  # packet ids repeat
            _, number = super().unsubscribe(topics)
            while number not in self._unsubscribed and self.is_connected() and time.monotonic() < end:
                with self._changed:
                    self._changed.wait(0.05)
                if closing.is_set():
                    return False
            topics = topics[:1]
            closing.wait(QUIET_SECONDS)
            arriving = self._received != received or self._in_messages
            if number in self._unsubscribed and not (arriving or self._out_messages or self.want_write()):
                return True
        return False

    def _take_messages(self, *, unsent_only: bool = False) -> list[mqtt.MQTTMessage]:
        """Remove and return what another client has to publish; of a connected one with `unsent_only`, what is not
        sent. The own report is nobody else's."""
        with self._out_message_mutex:
            some = unsent_only and self.is_connected()
            taken = [
                message
                for message in self._out_messages.values()
                if (message.state in _UNSENT if some else message.state not in _ACCEPTED)
            ]
            for message in taken:
                del self._out_messages[message.mid]
        if not some:
            taken += [message for info, message in self._unwritten if not _is_over(info)]
            self._unwritten.clear()
        own = self._report and self._report[0]
        return [message for message in taken if message.topic != own]

    def _publish_again(self, messages: list[mqtt.MQTTMessage], successor: BrokerClient) -> None:
        if not messages:
            return
        lost = 0
        for message in messages:
            properties = message.properties if successor.protocol == self.protocol else None
            info = successor.publish(message.topic, message.payload, message.qos, message.retain, properties)
            waits = info.rc == mqtt.MQTT_ERR_NO_CONN and message.qos > 0
            lost += not waits and info.rc != mqtt.MQTT_ERR_SUCCESS
        if lost < len(messages):
            log.info("%s messages go out by the new MQTT client instead of the former one.", len(messages) - lost)
        if lost:
            log.warning(
                "%s messages that the former MQTT client had accepted are lost: the new one could not publish them.\n"
                "-> check that the broker is reachable, then publish them again.",
                lost,
            )

    # What paho calls

    def _handle_answer(self, _client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self.reason = reason
        if reason.is_failure:
            self._owner.refused(self, reason)
        else:
            self._owner.connected(self)
        self._note_answer()

    def _handle_failure(self, *_: Any) -> None:
        self.failure = _reason(sys.exc_info()[1])  # paho calls this while it handles the error, and passes nothing on
        self._owner.unanswered(self, self.failure)
        self._note_answer()

    def _handle_end(self, _client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure and self.reason is None:
            self.failure = NO_WORD
            self._owner.unanswered(self, NO_WORD)
        elif not (self.reason and self.reason.is_failure):  # a refusal is reported already
            self._owner.disconnected(self, reason)
        self._note_answer()

    def _note_answer(self) -> None:
        with self._changed:
            self._answered = True
            self._changed.notify_all()

    def _handle_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._received += 1
        self._owner.received(self, message)

    def _handle_acknowledgement(
        self, _client: Any, _userdata: Any, number: int, reason: ReasonCode, _properties: Any
    ) -> None:
        """Takes no lock: paho holds its own, which `publish` takes second."""
        message = self._out_messages.get(number)
        if message and reason.is_failure and message.topic != (self._report and self._report[0]):
            self._owner.publish_refused(message.topic, reason)

    def _handle_grants(self, _client: Any, _userdata: Any, number: int, reasons: list[ReasonCode], _p: Any) -> None:
        with self._changed:
            self._answers[number] = [reason.value < FAILURE for reason in reasons]
            self._settle(number)

    def _handle_unsubscribed(self, _client: Any, _userdata: Any, number: int, *_: Any) -> None:
        with self._changed:
            self._unsubscribed.add(number)
            self._changed.notify_all()

    def _note_question(self, number: int | None, topics: Mapping[str, int]) -> None:
        if number is None:  # paho has no connection, and sent nothing
            return
        with self._changed:
            self.held.update(topics)
            for topic in topics:
                self._verdicts.pop(topic, None)
            self._asked[number] = tuple(topics)
            self._settle(number)

    def _settle(self, number: int) -> None:
        """The question's number and its answer come in any order, from two threads."""
        if number in self._asked and number in self._answers:
            self._verdicts.update(zip(self._asked.pop(number), self._answers.pop(number), strict=False))
            self._changed.notify_all()


def _reason(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', '') or error.reason or error}"
    return getattr(error, "strerror", None) or str(error)


def _is_over(info: mqtt.MQTTMessageInfo) -> bool:
    try:
        return info.is_published()
    except (ValueError, RuntimeError):  # it never will be
        return True
