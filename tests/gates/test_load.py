"""Readers that reconnect through rotations never fail once, and a live session lasts until its user retires."""

from __future__ import annotations

import pytest

from secretops.operations.rotate import rotate
from tests.gates.conftest import MakeStack
from tests.real.mosquitto import Mosquitto
from tests.real.stack import MqttSession, Readers

pytestmark = pytest.mark.real

ROTATIONS = 4
THREADS = 3
CONNECTS = 50


def test_rotations_under_reconnecting_threads_fail_no_connect(stack_on: MakeStack) -> None:
    stack = stack_on("mosquitto")
    stack.rotate()
    waits: list[float] = []

    def sleep(seconds: float) -> None:
        """The grace, as long as the slowest reader needs."""
        readers.caught_up()
        waits.append(seconds)
        stack.clock.skip(stack.manifest.grace_seconds)  # at once, and not in the steps in which servers are asked

    with Readers(stack, count=THREADS) as readers:
        readers.caught_up()
        for _ in range(ROTATIONS):
            rotate(stack.session(), "mqtt", cut_off=False, say=lambda _: None, sleep=sleep)
            readers.caught_up()
        while readers.connects < CONNECTS:
            readers.caught_up()
    assert readers.failures == []
    assert [len(used) for used in readers.passwords] == [ROTATIONS + 1] * THREADS
    assert len(waits) >= ROTATIONS - 1, "a rotation did not wait for the readers of the version before"


def test_session_of_a_replaced_user_lasts_until_it_is_retired(stack_on: MakeStack, mosquitto: Mosquitto) -> None:
    """Of mosquitto alone: the embedded broker ends no session."""
    stack = stack_on("mosquitto")
    stack.rotate()
    for retire in (stack.tick, lambda: stack.rotate(cut_off=True)):
        with MqttSession(stack.manifest.broker, stack.credential()) as session:
            assert session.outcome == "Success"
            stack.rotate()
            stack.tick()
            assert session.publishes(), "dropped by the rotation"
            if retire == stack.tick:
                stack.skip_grace()
            retire()
            assert session.ended.wait(60), "a retired user's session lives on"
        stack.skip_grace()
    assert stack.log_in() == "Success"
