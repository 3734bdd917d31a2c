"""Readers that reconnect during rotations never fail, and a session lasts until its user is retired."""

import pytest

from secretops.operations.rotate import rotate
from tests.gates.conftest import MakeStack
from tests.real.stack import Readers

pytestmark = pytest.mark.real

ROTATIONS = 4
THREADS = 3
CONNECTS = 50


def test_rotations_under_reconnecting_threads_fail_no_connect(stack_on: MakeStack) -> None:
    stack = stack_on("mosquitto")
    stack.rotate()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        readers.caught_up()
        waits.append(seconds)
        stack.clock.skip(stack.manifest.grace_seconds)  # at once, without the steps that wait for servers

    with Readers(stack, count=THREADS) as readers:
        readers.caught_up()
        for _ in range(ROTATIONS):
            rotate(stack.session(), "mqtt", force=False, notify=lambda _: None, sleep=sleep)
            readers.caught_up()
        while readers.connects < CONNECTS:
            readers.caught_up()
    assert readers.failures == []
    assert [len(used) for used in readers.passwords] == [ROTATIONS + 1] * THREADS
    assert len(waits) >= ROTATIONS - 1, "a rotation did not wait for the readers of the version before"
