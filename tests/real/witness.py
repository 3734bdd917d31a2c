"""A second MQTT client, independent of the code under test: records what arrives at a broker."""

from __future__ import annotations

import queue
import threading

from secretops.manifest import Broker
from secretops.values import Value
from tests.real.stack import DEADLINE, MqttSession


class Witness(MqttSession):
    """A session that records every message below `test/`."""

    def __init__(self, broker: Broker, credential: Value) -> None:
        super().__init__(broker, credential)
        self.messages: queue.Queue[tuple[str, str]] = queue.Queue()
        self._subscribed = threading.Event()
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, message: self.messages.put((message.topic, message.payload.decode()))

    def __enter__(self) -> Witness:
        super().__enter__()
        self._client.subscribe("test/#", 1)
        assert self._subscribed.wait(DEADLINE), self.outcome
        return self

    def say(self, topic: str, text: str, *, retain: bool = False) -> None:
        self._client.publish(topic, text, qos=1, retain=retain).wait_for_publish(DEADLINE)
