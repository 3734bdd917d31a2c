"""How a client that was replaced ends. The clients are real, without a connection; acknowledgements are scripted."""

from __future__ import annotations

import threading
from typing import Any, cast

import pytest

from secretops.launcher import swap
from secretops.launcher.client import BrokerClient
from secretops.launcher.swap import Swap
from secretops.manifest import MqttProtocol

MOST_POLLS = 100


class Replaced(BrokerClient):
    """A connected client with messages that the broker acknowledges, one at each poll; None: never."""

    def __init__(self, unacknowledged: int | None) -> None:
        super().__init__("replaced", MqttProtocol.V5)
        self._left = unacknowledged
        self._polls = 0
        self.left_at_the_end: int | None = None
        self.ended = False

    def is_connected(self) -> bool:
        return not self.ended

    def unacknowledged(self) -> int:
        self._polls += 1
        assert self._polls < MOST_POLLS, "the end of the drain is never reached"
        if self._left is None:
            return 1
        self._left = max(0, self._left - 1)
        return self._left

    def let_go(self, topics: Any) -> None:
        """There is no broker to unsubscribe at."""

    def disconnect(self, *_: Any, **__: Any) -> Any:
        self.ended, self.left_at_the_end = True, 1 if self._left is None else self._left


@pytest.fixture(autouse=True)
def no_linger(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(swap, "LINGER_SECONDS", 0)


def retire(old: Replaced, *, stopping: bool = False) -> None:
    event = threading.Event()
    if stopping:
        event.set()
    server: Any = type("Server", (), {"mqtt_subscriptions": {}})()
    swapping = Swap(server, cast(Any, None), cast(Any, None), event)
    swapping._retire(old, BrokerClient("new", MqttProtocol.V5), {})


def test_a_replaced_client_stays_until_the_broker_has_acknowledged_its_messages() -> None:
    old = Replaced(4)
    retire(old)
    assert old.ended and old.left_at_the_end == 0


@pytest.mark.parametrize("stopping", [False, True])
def test_a_replaced_client_ends_when_the_broker_never_acknowledges(
    monkeypatch: pytest.MonkeyPatch, stopping: bool
) -> None:
    old = Replaced(None)
    monkeypatch.setattr(swap, "DRAIN_SECONDS", 3600 if stopping else 0.05)
    retire(old, stopping=stopping)
    assert old.ended and old.left_at_the_end == 1
