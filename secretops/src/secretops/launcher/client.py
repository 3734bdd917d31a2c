"""An MQTT client that another client can replace without losing subscriptions or messages."""

from __future__ import annotations

import functools
import logging
import math
import select
import socket
import ssl
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MessageState, MQTTErrorCode, _ConnectionState
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from secretops.manifest import MqttProtocol
from secretops.targets.reports import REPORTS

log = logging.getLogger(__name__)

# Seconds, as upstream's.
KEEPALIVE = 60

# Seconds for the broker to acknowledge a last message, and to close the connection.
GOODBYE = 1.0

# Longest pause between two connects, in seconds. paho doubles it from 1.
MAX_RETRY_SECONDS = 30

# Seconds after which a broker (MQTT 5) deletes a report, and between two publications. If the broker loses a client's
# will, the client's report remains when the client ends, and delays a rotation by up to REPORT_EXPIRY.
REPORT_EXPIRY, REPORT_REFRESH = 900, 300

# Seconds without a message after which a replaced client checks whether its queue at the broker is empty.
QUIET_SECONDS = 0.3

# QoS of the launcher's own subscriptions.
OWN_QOS = 1

# Longest time that a replaced client drains, in seconds. With 20 messages in flight (mosquitto's default) and a round
# trip of 1.6 s it receives 7,500 messages. The default grace, in which its user still works, is longer: 3600 s.
DRAIN_SECONDS = 600.0

# Reason codes from here on are failures (MQTT 5, 2.4).
FAILURE = 0x80

CLOSED = "the broker closed the connection without an answer"

_PROTOCOLS = {MqttProtocol.V5: mqtt.MQTTv5, MqttProtocol.V311: mqtt.MQTTv311}
# Retain Handling (MQTT 5, 3.8.3.1): do not send retained messages, which the former client received.
_NO_RETAINED = 2

_UNSENT = (MessageState.MQTT_MS_PUBLISH, MessageState.MQTT_MS_QUEUED)
# The broker has answered PUBREC and owns the message (MQTT 5, 4.3.3).
_ACCEPTED = (MessageState.MQTT_MS_WAIT_FOR_PUBCOMP, MessageState.MQTT_MS_RESEND_PUBREL)


class Owner(Protocol):
    """The receiver of a client's events, mostly on the client's network thread. It need not reconnect: the client
    does."""

    listeners: dict[str, Callable[..., None]]
    own_listeners: dict[str, Callable[..., None]]

    def connected(self, client: BrokerClient) -> None: ...
    def refused(self, client: BrokerClient, reason: ReasonCode) -> None: ...
    def unanswered(self, client: BrokerClient, reason: str) -> None: ...
    def disconnected(self, client: BrokerClient, reason: ReasonCode) -> None: ...
    def received(self, client: BrokerClient, message: mqtt.MQTTMessage) -> None: ...
    def publish_refused(self, topic: str, reason: ReasonCode) -> None: ...


P = ParamSpec("P")
R = TypeVar("R")


def _redirected(method: Callable[Concatenate[BrokerClient, P], R]) -> Callable[Concatenate[BrokerClient, P], R]:
    """Redirect a method to the client's successor, if there is one. Callers may still use the replaced client."""

    @functools.wraps(method)
    def run(self: BrokerClient, /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._transferring:
            successor = self._successor
            if successor is None:
                return method(self, *args, **kwargs)
        return run(successor, *args, **kwargs)

    return run


def _fixed(handler: str) -> Any:
    """Return a property that ignores assignments, because upstream's tool mqtt_connect assigns its own handlers."""
    return property(lambda self: getattr(self, handler), lambda _self, _callback: None)


class RobustClient(mqtt.Client):
    """A client that avoids bugs of paho-mqtt 2.1 and 2.2. The docstring of each method names the bug."""

    _ending = False

    def connect(self, host: str, port: int = 1883, keepalive: int = KEEPALIVE, *_: Any, **__: Any) -> MQTTErrorCode:
        """Connect in the background. After a disconnect(), paho's method would open a connection that no thread
        reads."""
        self.loop_stop()
        self._ending = False
        self.connect_async(host, port, keepalive)
        return self.loop_start()

    def reconnect(self) -> MQTTErrorCode:
        """Connect once. In paho's method, a disconnect() during the connect has no effect, and a ValueError ends the
        network thread."""
        try:
            result = super().reconnect()
        except ValueError as error:  # an SSLCertVerificationError is a ValueError, too
            raise error if isinstance(error, OSError) else OSError(str(error)) from error
        if self._ending:
            super().disconnect()
        return result

    def disconnect(self, reasoncode: ReasonCode | None = None, properties: Properties | None = None) -> MQTTErrorCode:
        self._ending = True
        return super().disconnect(reasoncode, properties)

    def close(self) -> None:
        """Disconnect, then end the network thread. Each step waits up to GOODBYE seconds."""
        self.disconnect()
        if thread := self._thread:
            thread.join(GOODBYE)
        self._sock_close()  # else the connection to a stuck broker stays open until the keepalive ends

    def loop_stop(self) -> MQTTErrorCode:
        """End the network thread. Blocks for up to paho's connect timeout of 5 s."""
        try:
            return super().loop_stop()
        except AttributeError:  # paho fails if its thread ends between its check and its join
            return mqtt.MQTT_ERR_SUCCESS

    def _loop(self, timeout: float = 1.0) -> MQTTErrorCode:
        """Read from and write to the socket once. paho's method uses select(2), which fails for descriptors of 1024 and
        above."""
        sock, waker = self._sock, self._sockpairR
        if sock is None:
            return mqtt.MQTT_ERR_NO_CONN
        poll = select.poll()
        try:
            descriptor, pending = sock.fileno(), sock.pending() if hasattr(sock, "pending") else 0
            if not self.is_connected() and isinstance(sock, socket.socket):
                _acknowledge_at_once(sock)
            poll.register(descriptor, select.POLLIN | (select.POLLOUT if self.want_write() else 0))
            if waker:
                poll.register(waker, select.POLLIN)
            ready = dict(poll.poll(0 if pending else timeout * 1000))
        except (ValueError, OSError):  # another thread has closed it
            if not self._ending:
                self._state = _ConnectionState.MQTT_CS_CONNECTION_LOST
            return mqtt.MQTT_ERR_CONN_LOST
        if pending or ready.get(descriptor, 0) & ~select.POLLOUT:
            result = self.loop_read()
            if result or self._sock is None:
                return result
        if waker and waker.fileno() in ready:
            waker.recv(10_000)  # a byte for each packet that was queued
        if self.want_write():
            result = self.loop_write()
            if result or self._sock is None:
                return result
        return self.loop_misc()

    def _handle_pubrec(self) -> MQTTErrorCode:
        """Handle a PUBREC. If its reason is an error, paho treats it as accepted, and waits for a PUBCOMP that never
        arrives."""
        packet = self._in_packet["packet"]
        if self.protocol != mqtt.MQTTv5 or len(packet) <= 2 or packet[2] < FAILURE:  # noqa: PLR2004 - number, reason
            return super()._handle_pubrec()
        number, reason = int.from_bytes(packet[:2], "big"), ReasonCode(PacketTypes.PUBREC, identifier=packet[2])
        with self._out_message_mutex:
            if number in self._out_messages:
                properties = Properties(PacketTypes.PUBREC)  # type: ignore[no-untyped-call]
                return self._do_on_publish(number, reason, properties)
        return mqtt.MQTT_ERR_SUCCESS


class BrokerClient(RobustClient):
    """A client that tracks its subscriptions and unacknowledged messages, and reports which versions this server
    uses."""

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
        # Topic filter -> QoS.
        self.subscriptions: dict[str, int] = {}
        # The broker's answer to the latest connect, or why there is none.
        self.reason: ReasonCode | None = None
        self.failure = CLOSED
        self._owner = owner
        self._report: tuple[str, str] | None = None
        self._report_again = math.inf
        self._reporting = threading.Lock()
        self._changed = threading.Condition()
        self._answered = False
        self._closed = False
        self._requested: dict[int, tuple[str, ...]] = {}
        self._answers: dict[int, list[bool]] = {}
        self._verdicts: dict[str, bool] = {}
        self._unsubscribed: set[int] = set()
        self._received = 0
        self._transferring = threading.Lock()
        self._successor: BrokerClient | None = None
        self._unwritten: deque[tuple[mqtt.MQTTMessageInfo, mqtt.MQTTMessage]] = deque()
        self.reconnect_delay_set(min_delay=1, max_delay=MAX_RETRY_SECONDS)
        self.suppress_exceptions = True  # an exception in a callback would end the network thread

    def connect(self, host: str, port: int = 1883, keepalive: int = KEEPALIVE, *_: Any, **__: Any) -> MQTTErrorCode:
        """Connect in the background, unless this client is replaced or closed."""
        if self._successor is None:
            self.loop_stop()
        with self._transferring:
            if self._successor is None and not self._closed:
                return super().connect(host, port, keepalive)
        return mqtt.MQTT_ERR_SUCCESS

    def reconnect(self) -> MQTTErrorCode:
        self.reason, self._answered = None, False
        return super().reconnect()

    def has_answer(self, seconds: float) -> bool:
        """Wait up to `seconds` for the connect to succeed or fail. Return whether it did."""
        with self._changed:
            return self._changed.wait_for(lambda: self._answered, seconds)

    def disconnect(self, reasoncode: ReasonCode | None = None, properties: Properties | None = None) -> MQTTErrorCode:
        """Delete this server's report, then disconnect. Waits up to GOODBYE seconds for the broker."""
        with self._reporting:
            self._ending = True
            reported, self._report_again = self._report_again < math.inf, math.inf
        if self._report and reported and self.is_connected():
            topic = self._report[0]
            info = super().publish(topic, b"", 1, True)
            if threading.current_thread() is not self._thread and info.rc == mqtt.MQTT_ERR_SUCCESS:
                info.wait_for_publish(GOODBYE)
            with self._out_message_mutex:
                waits = self._out_messages.pop(info.mid, None)
            if waits:  # still queued behind unacknowledged messages; with QoS 0 it is sent before the DISCONNECT
                super().publish(topic, b"", 0, True)
        return super().disconnect(reasoncode, properties)

    def close(self) -> None:
        """Disconnect, and ignore later calls. Waits up to 2 * GOODBYE seconds."""
        with self._transferring:
            self._closed = True
        super().close()

    def set_report(self, topic: str, text: str) -> None:
        """Set this server's report. From the next `connect` on, an MQTT will deletes it when the connection breaks."""
        self._report = (topic, text)
        self.will_set(topic, b"", qos=1, retain=True)

    def publish_report(self) -> None:
        """Publish this server's report now, and every REPORT_REFRESH seconds until `disconnect`."""
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = REPORT_EXPIRY
        with self._reporting:
            if self._report and not self._ending:
                self._report_again = time.monotonic() + REPORT_REFRESH
                super().publish(*self._report, 1, True, properties if self.protocol == mqtt.MQTTv5 else None)

    def loop_misc(self) -> MQTTErrorCode:
        """Publish the report again when due. The network thread calls this at least once a second."""
        if time.monotonic() >= self._report_again:
            self.publish_report()
        return super().loop_misc()

    @_redirected
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
            self._record_request(number, {topic: options.QoS if options else qos})
        return result, number

    @_redirected
    def unsubscribe(self, topic: Any, properties: Properties | None = None) -> tuple[MQTTErrorCode, int | None]:
        if topic in self._owner.own_listeners:
            return mqtt.MQTT_ERR_SUCCESS, None
        with self._changed:
            self.subscriptions.pop(topic, None)
            self._verdicts.pop(topic, None)
        return super().unsubscribe(topic, properties)

    def message_callback_add(self, sub: str, callback: Callable[..., None]) -> None:
        self._owner.listeners[sub] = callback

    def message_callback_remove(self, sub: str) -> None:
        self._owner.listeners.pop(sub, None)

    @_redirected
    def publish(
        self,
        topic: str,
        payload: Any = None,
        qos: int = 0,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> mqtt.MQTTMessageInfo:
        if topic.startswith(f"{REPORTS}/"):
            raise ValueError(f"{topic}: only the launcher publishes on this topic")
        if self._closed:
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

    def subscribe_all(self, topics: Mapping[str, int], *, known: Collection[str]) -> None:
        """Subscribe to all topics in one packet, because each packet takes 40 ms (Nagle's algorithm).

        With MQTT 5, the broker omits the retained messages of `known` topics.
        """
        if not topics:
            return
        request: list[tuple[str, Any]] = list(topics.items())
        if self.protocol == mqtt.MQTTv5:
            retained = {topic: _NO_RETAINED if topic in known else 0 for topic in topics}
            request = [(topic, SubscribeOptions(qos, retainHandling=retained[topic])) for topic, qos in topics.items()]
        _, number = super().subscribe(request)
        self._record_request(number, topics)

    def granted(self) -> set[str]:
        with self._changed:
            return {topic for topic, granted in self._verdicts.items() if granted}

    def verdict(self, topics: Iterable[str], seconds: float) -> dict[str, bool] | None:
        """Return whether the broker granted each topic, or None if an answer is missing after `seconds`."""
        wanted = list(topics)

        def answered() -> bool:
            return all(topic in self._verdicts for topic in wanted)

        with self._changed:
            self._changed.wait_for(lambda: answered() or not self.is_connected(), seconds)
            return {topic: self._verdicts[topic] for topic in wanted} if answered() else None

    def transfer_to(self, successor: BrokerClient, copied: Mapping[str, int]) -> None:
        """Redirect later calls to `successor`, and publish unsent messages through it in order. `successor` already has
        the subscriptions `copied`."""
        with self._transferring:
            for topic in self.subscriptions.keys() - copied.keys():
                successor.subscribe(topic, self.subscriptions[topic])
            for topic in copied.keys() - self.subscriptions.keys():
                successor.unsubscribe(topic)
            self._successor = successor
            self._publish_again(self._take_messages(unsent_only=True), successor)

    def retire(self, closing: threading.Event) -> None:
        """Unsubscribe, drain messages in both directions for up to DRAIN_SECONDS, then disconnect.

        The successor publishes unacknowledged messages (QoS 2: those without a PUBREC) again; they may arrive twice.
        """
        was_connected = self.is_connected()
        if not self._drain(closing) and was_connected and not closing.is_set():
            log.warning(
                "Queued messages are lost: the former MQTT client disconnected before its queue at the broker was "
                "empty (%s).\n-> check the broker's log and load, then publish again what the server must receive",
                f"after {DRAIN_SECONDS:.0f} s" if self.is_connected() else "the broker closed the connection",
            )
        self.close()
        with self._in_message_mutex:
            accepted = list(self._in_messages.values())  # messages of QoS 2 for which we sent PUBREC
            self._in_messages.clear()
        for message in accepted:
            self._handle_on_message(message)
        if self._successor:
            self._publish_again(self._take_messages(), self._successor)
        log.info("The former MQTT client has disconnected.")

    def unacknowledged(self) -> int:
        return len(self._out_messages) + sum(not _is_over(info) for info, _ in list(self._unwritten))

    def _drain(self, closing: threading.Event) -> bool:
        # Returns True once no message is in flight and the broker's queue is empty. A broker answers UNSUBSCRIBE after
        # it has sent its queued messages. So the queue is empty if no message arrives before the answer.
        end = time.monotonic() + DRAIN_SECONDS
        topics = list(self.subscriptions) or [self.name]
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
        """Remove and return the messages to publish again. If `unsent_only` and connected, these are only messages that
        were never sent."""
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
            log.info("Publishing %s messages of the former MQTT client with the new client.", len(messages) - lost)
        if lost:
            log.warning(
                "%s messages of the former MQTT client are lost: the new client could not publish them.\n"
                "-> check that the broker is reachable, then publish them again",
                lost,
            )

    def _handle_answer(self, _client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        self.reason = reason
        if reason.is_failure:
            self._owner.refused(self, reason)
        else:
            self._owner.connected(self)
        self._set_answered()

    def _handle_failure(self, *_: Any) -> None:
        self.failure = _reason(sys.exc_info()[1])  # paho calls this without arguments, while it handles the error
        self._owner.unanswered(self, self.failure)
        self._set_answered()

    def _handle_end(self, _client: Any, _userdata: Any, _flags: Any, reason: ReasonCode, _properties: Any) -> None:
        if reason.is_failure and self.reason is None:
            self.failure = CLOSED
            self._owner.unanswered(self, CLOSED)
        elif not (self.reason and self.reason.is_failure):  # a refusal has been reported already
            self._owner.disconnected(self, reason)
        self._set_answered()

    def _set_answered(self) -> None:
        with self._changed:
            self._answered = True
            self._changed.notify_all()

    def _handle_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._received += 1
        self._owner.received(self, message)

    def _handle_acknowledgement(
        self, _client: Any, _userdata: Any, number: int, reason: ReasonCode, _properties: Any
    ) -> None:
        # Acquires no lock: paho calls this with its own lock, and `publish` locks in the opposite order, so both could
        # wait forever.
        message = self._out_messages.get(number)
        if message and reason.is_failure and message.topic != (self._report and self._report[0]):
            self._owner.publish_refused(message.topic, reason)

    def _handle_grants(self, _client: Any, _userdata: Any, number: int, reasons: list[ReasonCode], _p: Any) -> None:
        with self._changed:
            self._answers[number] = [reason.value < FAILURE for reason in reasons]
            self._match_answer(number)

    def _handle_unsubscribed(self, _client: Any, _userdata: Any, number: int, *_: Any) -> None:
        with self._changed:
            self._unsubscribed.add(number)
            self._changed.notify_all()

    def _record_request(self, number: int | None, topics: Mapping[str, int]) -> None:
        if number is None:  # paho has no connection, and sent nothing
            return
        with self._changed:
            self.subscriptions.update(topics)
            for topic in topics:
                self._verdicts.pop(topic, None)
            self._requested[number] = tuple(topics)
            self._match_answer(number)

    def _match_answer(self, number: int) -> None:
        # Either the request's packet id or the answer may come first.
        if number in self._requested and number in self._answers:
            self._verdicts.update(zip(self._requested.pop(number), self._answers.pop(number), strict=False))
            self._changed.notify_all()


def _reason(error: BaseException | None) -> str:
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {getattr(error, 'verify_message', '') or error.reason or error}"
    return getattr(error, "strerror", None) or str(error)


def _is_over(info: mqtt.MQTTMessageInfo) -> bool:
    try:
        return info.is_published()
    except (ValueError, RuntimeError):  # it will never be published
        return True


def _acknowledge_at_once(sock: socket.socket) -> None:
    """Disable delayed TCP acknowledgements. Otherwise mosquitto, which uses Nagle's algorithm, sends its CONNACK 40 ms
    late."""
    if hasattr(socket, "TCP_QUICKACK"):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
