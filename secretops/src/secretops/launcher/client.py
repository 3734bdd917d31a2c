"""An MQTT client that knows what it holds, so that another one can take its place."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from secretops.manifest import MqttProtocol

KEEPALIVE = 60
"""Seconds, as upstream's."""

SLOWEST_RETRY = 30
"""Seconds between two attempts at most (paho doubles from 1): how late a broker's recovery may be noticed."""

_PROTOCOLS = {MqttProtocol.V5: mqtt.MQTTv5, MqttProtocol.V311: mqtt.MQTTv311}
_FAILURE = 0x80
_NO_RETAINED = 2
"""Retain Handling (MQTT 5, 3.8.3.1): do not send what is retained; the client before has had it."""


class BrokerClient(mqtt.Client):
    """A paho client whose `connect` works from any state, in the background, and does not give up.

    Keeps account of its subscriptions, of who listens to which topic, and of messages that the broker has not
    acknowledged: paho shows none of them.
    """

    def __init__(self, client_id: str, protocol: MqttProtocol) -> None:
        super().__init__(CallbackAPIVersion.VERSION2, client_id=client_id, protocol=_PROTOCOLS[protocol])
        self.name = client_id
        self.held: dict[str, int] = {}
        """topic filter -> QoS of every subscription asked for and not given back."""
        self.listeners: dict[str, Callable[..., None]] = {}
        """topic filter -> who gets its messages in place of on_message, for as long as a tool waits."""
        self.report: tuple[str, str] | None = None
        """Topic and text of what is said of it at the broker while it is connected (secretops.replicas)."""
        self._changed = threading.Condition()
        self._asked: dict[int, tuple[str, ...]] = {}
        self._answers: dict[int, list[bool]] = {}
        self._verdicts: dict[str, bool] = {}
        self._sent: list[mqtt.MQTTMessageInfo] = []
        self.reconnect_delay_set(min_delay=1, max_delay=SLOWEST_RETRY)
        self.suppress_exceptions = True  # an exception in a callback would end the network thread
        self.on_subscribe = self._note_answer

    def connect(self, host: str, port: int = 1883, keepalive: int = KEEPALIVE, *_: Any, **__: Any) -> MQTTErrorCode:
        """Upstream's reconnect tool calls disconnect(), then this.

        With paho's own, the first ends the network thread and the second opens a connection that nobody reads.
        """
        self.loop_stop()
        self.connect_async(host, port, keepalive)
        return self.loop_start()

    def connect_once(self, host: str, port: int) -> None:
        """Connect now, up to the broker's answer. Raises OSError, ValueError. Waits up to paho's timeout of 5 s."""
        super().connect(host, port, KEEPALIVE)
        self.loop_start()

    def loop_stop(self) -> MQTTErrorCode:
        """End the network thread. Waits for it, up to paho's connect timeout of 5 s."""
        try:
            return super().loop_stop()
        except AttributeError:  # paho forgets a thread that ends by itself between its check and its join
            return mqtt.MQTT_ERR_SUCCESS

    def subscribe(
        self,
        topic: Any,
        qos: int = 0,
        options: SubscribeOptions | None = None,
        properties: Properties | None = None,
    ) -> tuple[MQTTErrorCode, int | None]:
        result, number = super().subscribe(topic, qos, options, properties)
        if isinstance(topic, str):
            self._note_question(number, {topic: options.QoS if options else qos})
        return result, number

    def unsubscribe(self, topic: Any, properties: Properties | None = None) -> tuple[MQTTErrorCode, int | None]:
        with self._changed:
            self.held.pop(topic, None)
            self._verdicts.pop(topic, None)
        return super().unsubscribe(topic, properties)

    def message_callback_add(self, sub: str, callback: Callable[..., None]) -> None:
        self.listeners[sub] = callback
        super().message_callback_add(sub, callback)

    def message_callback_remove(self, sub: str) -> None:
        self.listeners.pop(sub, None)
        super().message_callback_remove(sub)

    def publish(self, *args: Any, **kwargs: Any) -> mqtt.MQTTMessageInfo:
        info = super().publish(*args, **kwargs)
        if info.rc == mqtt.MQTT_ERR_SUCCESS:
            with self._changed:
                self._sent = [*filter(_under_way, self._sent), info]
        return info

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

    def let_go(self, topics: Iterable[str]) -> None:
        """Unsubscribe, and go on showing them as held: what tools do to this client meanwhile is still to be told."""
        for topic in topics:
            super().unsubscribe(topic)

    def granted(self) -> set[str]:
        """The topic filters that the broker has granted."""
        with self._changed:
            return {topic for topic, granted in self._verdicts.items() if granted}

    def verdict(self, topics: Iterable[str], until: float) -> dict[str, bool] | None:
        """Whether each of `topics` was granted; None when not all are answered by `until` (monotonic), or when the
        connection ends."""
        wanted = list(topics)
        with self._changed:
            while not all(topic in self._verdicts for topic in wanted):
                left = until - time.monotonic()
                if left <= 0 or not self.is_connected():
                    return None
                self._changed.wait(min(left, 0.1))  # whose end would say nothing else
            return {topic: self._verdicts[topic] for topic in wanted}

    def unacknowledged(self) -> int:
        """How many messages are not at the broker yet, as far as it has told."""
        with self._changed:
            self._sent = [*filter(_under_way, self._sent)]
            return len(self._sent)

    def _note_question(self, number: int | None, topics: Mapping[str, int]) -> None:
        if number is None:  # paho has no connection, and sent nothing
            return
        with self._changed:
            self.held.update(topics)
            for topic in topics:
                self._verdicts.pop(topic, None)
            self._asked[number] = tuple(topics)
            self._settle(number)

    def _note_answer(
        self, _client: mqtt.Client, _userdata: Any, number: int, reasons: list[ReasonCode], _properties: Any
    ) -> None:
        with self._changed:
            self._answers[number] = [reason.value < _FAILURE for reason in reasons]
            self._settle(number)

    def _settle(self, number: int) -> None:
        """The question's number and its answer come in any order, from two threads."""
        if number in self._asked and number in self._answers:
            self._verdicts.update(zip(self._asked.pop(number), self._answers.pop(number), strict=False))
            self._changed.notify_all()


def _under_way(info: mqtt.MQTTMessageInfo) -> bool:
    try:
        return not info.is_published()
    except (ValueError, RuntimeError):  # it never will be
        return False
