"""A rotation killed at any moment: what readers hold logs in all the while, and one tick later all is well.

SIGKILL before and after each effect of a real rotation on a real broker, and at moments that nobody chose. Two rotators
at once: one works, the other says who does. What clouds have to stand is in test_cloud_crash.py.
"""

from __future__ import annotations

import random
import signal
import time

import pytest

from tests.gates.conftest import MakeStack
from tests.gates.converging import converged, prepare
from tests.gates.doomed import start
from tests.real.stack import Readers

pytestmark = pytest.mark.real

RANDOM_KILLS = {"mosquitto": 5, "coreflux": 3}


@pytest.mark.parametrize(
    ("target", "name", "delivery"),
    [
        ("mosquitto", "mqtt", "files"),
        ("coreflux", "mqtt", "variables"),
        ("mosquitto", "broker-admin", "variables"),
    ],
)
def test_a_rotation_killed_before_or_after_any_effect_is_ended_by_one_tick(
    stack_on: MakeStack, target: str, name: str, delivery: str
) -> None:
    stack = stack_on(target, delivery)
    for each in ("broker-admin", "mqtt"):  # a tick looks after both
        stack.rotate(each)
    with Readers(stack, name) as readers:
        replaced = prepare(stack, readers, name)
        recorded = start(stack, "rotate", name)
        assert recorded.end() == 0, recorded.moments
        moments = recorded.moments
        assert {"before store.add", "after target.apply", "before store.publish", "after target.retire"} <= {*moments}
        print(f"{target} {name}: {len(moments)} moments, {', '.join(moments[1::2])}")
        converged(stack, readers, name, [replaced])
        kills = [*range(0, len(moments), 2), len(moments) - 1]  # after one effect is before the next
        for kill_at in kills:
            moment = moments[kill_at]
            replaced = prepare(stack, readers, name)
            doomed = start(stack, "rotate", name, kill_at=kill_at)
            assert doomed.end() == -signal.SIGKILL
            assert doomed.moments == moments[: kill_at + 1], "not the rotation that was recorded"
            assert stack.log_in(stack.credential(name)) == "Success", moment
            converged(stack, readers, name, [replaced])
        assert readers.failures == []
        print(f"{target} {name}: {len(kills)} kills, {readers.connects} logins meanwhile, 0 failed")


@pytest.mark.parametrize("target", ["mosquitto", "coreflux"])
def test_a_rotation_killed_at_a_random_moment_is_ended_by_one_tick(stack_on: MakeStack, target: str) -> None:
    stack = stack_on(target)
    stack.rotate()
    with Readers(stack) as readers:
        replaced = prepare(stack, readers, "mqtt")
        began = time.monotonic()
        assert start(stack, "rotate", "mqtt").end() == 0
        usual = time.monotonic() - began
        converged(stack, readers, "mqtt", [replaced])
        killed = goes = 0
        while killed < RANDOM_KILLS[target]:
            goes += 1
            assert goes <= 5 * RANDOM_KILLS[target], f"{killed} hit"
            replaced = prepare(stack, readers, "mqtt")
            doomed = start(stack, "rotate", "mqtt")
            began, delay = time.monotonic(), random.uniform(0, usual)  # noqa: S311 - no secret
            doomed.process.join(delay)
            if not doomed.process.is_alive():
                usual = min(usual, time.monotonic() - began)
            doomed.process.kill()
            code = doomed.end()
            assert code in (0, -signal.SIGKILL)
            killed += code != 0
            assert stack.log_in() == "Success", f"killed after {delay} s"
            converged(stack, readers, "mqtt", [replaced])
        assert readers.failures == []
        print(f"{target}: {killed} of {goes} random kills hit, {readers.connects} logins meanwhile, 0 failed")


@pytest.mark.parametrize("delivery", ["variables", "aws", "azure", "vault"])  # the lease is the store's
def test_of_two_rotators_one_works_and_the_other_names_it(stack_on: MakeStack, delivery: str) -> None:
    stack = stack_on("mosquitto", delivery)
    stack.rotate()
    before = stack.session().store.versions("mqtt").current
    first = start(stack, "rotate", "mqtt", hold_at=[1])
    for _ in range(2):
        first.next_moment()  # it waits within the rotation
    for command in (["tick"], ["rotate", "broker-admin"]):
        second = stack.run(*command)
        assert second.returncode == 4
        assert f"secretops rotate mqtt (pid {first.process.pid} on" in second.stderr
        assert "Traceback" not in second.stderr
    assert stack.session().store.versions("mqtt").current == before
    first.go_on()
    assert first.end() == 0
    assert stack.session().store.versions("mqtt").current != before
    assert stack.log_in() == "Success"
    assert stack.run("tick").returncode == 0
