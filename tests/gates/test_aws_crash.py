"""The four steps of a Lambda rotation, where they are more than a rotation of any cloud (test_cloud_crash.py): a step
that was killed is ended under another token than its own, the first rotation ever.

An effect is a write to Secrets Manager (a stand-in that keeps AWS' rules) or a message to a real mosquitto.
"""

from __future__ import annotations

import functools
import signal

import pytest

from secretops.entrypoints.aws_lambda import LambdaError
from tests.gates.calls import play
from tests.gates.doomed import Doomed, begin
from tests.real.aws_stack import STEPS, AwsStack, make_aws_stack
from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.real.stack import Readers

pytestmark = [pytest.mark.real, pytest.mark.slow]

FIRST = ("put_secret_value", "publish", "publish")
"""The first effect of each step but the last one."""


@pytest.fixture
def stack(mosquitto: Mosquitto, moto_environment: Aws) -> AwsStack:
    """A stack whose broker-admin has been put, and which has no credential yet."""
    made = make_aws_stack(mosquitto.broker(), moto_environment)
    made.put("broker-admin", dict(mosquitto.admin))
    return made


def test_rotation_killed_within_or_after_a_step_is_ended_by_another_token(stack: AwsStack) -> None:
    stack.all_steps(stack.begin())
    with Readers(stack) as readers:
        recorded = invoke(stack, next_token(stack, readers))
        assert recorded.end() == 0, recorded.moments
        moments = recorded.moments
        begun = [0, *(moments.index(f"after {step}") for step in STEPS[:-1])]
        within = [moments.index(f"after {effect}", at) for at, effect in zip(begun, FIRST, strict=False)]
        for kill_at in (begun[1], within[1], begun[3]):
            abandoned = next_token(stack, readers)
            doomed = invoke(stack, abandoned, kill_at=kill_at)
            assert doomed.end() == -signal.SIGKILL
            assert doomed.moments == moments[: kill_at + 1], "not the rotation that was recorded"
            assert stack.log_in() == "Success", moments[kill_at]
            over(stack, stack.begin(cancelled=True))
            with pytest.raises(LambdaError, match="another rotation took its place"):
                stack.step("finishSecret", abandoned)
        assert readers.failures == []


def test_first_rotation_that_was_given_up_is_not_taken_over_unasked(stack: AwsStack) -> None:
    abandoned = stack.begin()
    stack.step("createSecret", abandoned)
    stack.step("setSecret", abandoned)
    token = stack.begin(cancelled=True)
    with pytest.raises(LambdaError, match="secretops rotate mqtt --now"):
        stack.all_steps(token)
    stack.rotate(cut_off=True)
    assert stack.log_in() == "Success"
    stack.all_steps(token)  # it was finished by that command


def next_token(stack: AwsStack, readers: Readers) -> str:
    """A rotation that begins when the readers of the last but one version have let it go."""
    readers.caught_up()
    stack.skip_grace()
    return stack.begin()


def invoke(stack: AwsStack, token: str, *, kill_at: int | None = None) -> Doomed:
    """AWS' four calls of the function, in one process of its own, without the lease, which takes time."""
    events = [stack.event(step, token) for step in STEPS]
    return begin(functools.partial(play, stack, events, False), kill_at=kill_at)


def over(stack: AwsStack, token: str) -> None:
    """AWS' calls from the first step on: they end the rotation."""
    again = invoke(stack, token)
    assert again.end() == 0, again.moments
    version = stack.session().store.versions("mqtt").current
    assert version and version.verified and version.published
    stack.check_delivery("mqtt", version, set())
    assert version.id == token
    assert stack.log_in() == "Success"
