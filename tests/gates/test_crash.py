"""A rotation is killed. Readers can log in the whole time, and one tick completes the rotation."""

import signal

import pytest

from tests.gates.conftest import MakeStack
from tests.gates.converging import converged, prepare
from tests.gates.doomed import start
from tests.real.stack import Readers

pytestmark = pytest.mark.real

KILLS = ("before store.add", "after target.apply", "after store.publish")


@pytest.mark.parametrize(("target", "name", "delivery"), [
    ("mosquitto", "mqtt", "files"),
    pytest.param("coreflux", "mqtt", "variables", marks=pytest.mark.slow),
    pytest.param("mosquitto", "broker-admin", "variables", marks=pytest.mark.slow),
])  # fmt: skip
def test_rotation_killed_at_an_effect_ends_by_a_tick(
    stack_on: MakeStack, target: str, name: str, delivery: str
) -> None:
    stack = stack_on(target, delivery)
    for each in ("broker-admin", "mqtt"):  # a tick checks both
        stack.rotate(each)
    with Readers(stack, name) as readers:
        for moment in KILLS:
            replaced = prepare(stack, readers, name)
            doomed = start(stack, "rotate", name, kill_at=moment)
            assert doomed.end() == -signal.SIGKILL
            assert doomed.moments[-1] == moment
            assert stack.log_in(stack.credential(name)) == "Success", moment
            converged(stack, readers, name, [replaced])
        assert readers.failures == []


@pytest.mark.parametrize(
    "delivery", ["variables", *(pytest.param(store, marks=pytest.mark.slow) for store in ("aws", "azure", "vault"))]
)
def test_second_rotator_reports_the_first_one_and_changes_nothing(stack_on: MakeStack, delivery: str) -> None:
    stack = stack_on("mosquitto", delivery)
    stack.rotate()
    before = stack.session().store.versions("mqtt").current
    first = start(stack, "rotate", "mqtt", hold_at=[1])
    for _ in range(2):
        first.next_moment()  # it waits within the rotation
    second = stack.run("tick")
    assert second.returncode == 4
    assert f"secretops rotate mqtt (pid {first.process.pid} on" in second.stderr
    assert stack.session().store.versions("mqtt").current == before
    first.go_on()
    assert first.end() == 0
    assert stack.session().store.versions("mqtt").current != before
    assert stack.log_in() == "Success"
