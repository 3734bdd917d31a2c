"""Readers that reconnect through ten rotations never fail once, and a live session lasts until its user retires.

A reader's promise is to read the credential anew within the grace. The clock moves only when each reader has, so that
a slow machine makes the test slow and not wrong.
"""

from __future__ import annotations

import pytest

from secretops.operations.rotate import rotate
from tests.gates.conftest import MakeStack
from tests.real.stack import MqttSession, Readers

pytestmark = pytest.mark.real

ROTATIONS = 10
THREADS = 4
CONNECTS = 100


def test_ten_rotations_under_four_reconnecting_threads_fail_no_connect(stack_on: MakeStack) -> None:
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
    print(f"{ROTATIONS} rotations, {THREADS} threads: {readers.connects} connects, {len(readers.failures)} failed")


@pytest.mark.parametrize("target", ["mosquitto", "coreflux"])
def test_a_live_session_of_the_replaced_user_is_not_dropped_before_it_retires(stack_on: MakeStack, target: str) -> None:
    stack = stack_on(target)
    stack.rotate()
    with MqttSession(stack.manifest.broker, stack.credential()) as session:
        assert session.outcome == "Success"
        stack.rotate()
        stack.tick()
        assert session.publishes(), "dropped by the rotation"
        stack.skip_grace()
        stack.tick()
        if target == "mosquitto":  # the embedded broker lets a session be: facts of Coreflux are not documented
            assert session.ended.wait(60), "a retired user's session lives on"


def test_rotate_now_within_the_grace_ends_the_sessions_of_the_user_that_was_replaced(stack_on: MakeStack) -> None:
    stack = stack_on("mosquitto")
    stack.rotate()
    with MqttSession(stack.manifest.broker, stack.credential()) as session:
        stack.rotate()
        assert session.publishes()
        stack.rotate(cut_off=True)
        assert session.ended.wait(60)
    assert stack.log_in() == "Success"
