"""A cloud's rotator is killed at three of its changes, under its lease. The cloud's next call completes the rotation.
Readers can log in the whole time.

One test for AWS (moto with AWS' rules), Azure (Key Vault stand-in, Azurite) and Vault (real OpenBao), on a real broker.
The simulated year kills at every change.
"""

import contextlib
import functools
import os
import signal
from collections.abc import Sequence
from typing import Any

import pytest

from secretops.operations.session import Session
from secretops.targets.connection import Connection
from tests.gates.converging import settled
from tests.gates.doomed import Doomed, Moment, begin
from tests.real.cloud_stack import TICK, Attempt, Calls, CloudStack, Event
from tests.real.stack import Readers

pytestmark = [pytest.mark.real, pytest.mark.slow]

MESSAGES: Calls = ((Connection, "publish"),)


def test_rotation_killed_at_an_effect_is_finished_by_the_clouds_next_call(cloud: CloudStack) -> None:
    cloud.rotate()
    with Readers(cloud) as readers:
        recorded = played(cloud, next_rotation(cloud, readers).events)
        assert recorded.end() == 0, recorded.moments
        moments = recorded.moments
        for _, effect in (*cloud.writes, *MESSAGES):
            assert [moment for moment in moments if moment.startswith("before")], effect
        effects = [at for at, moment in enumerate(moments) if moment.startswith("before")]
        for kill_at in (effects[0], effects[len(effects) // 2], len(moments) - 2):
            leased = cloud.lease_is_quick or kill_at == effects[0]
            attempt = next_rotation(cloud, readers)
            doomed = played(cloud, attempt.events, leased=leased, kill_at=kill_at)
            assert doomed.end() == -signal.SIGKILL
            assert doomed.moments == moments[: kill_at + 1], "not the rotation that was recorded"
            assert cloud.log_in() == "Success", moments[kill_at]
            assert cloud.is_leased() is leased, "it was killed while it held the lease"
            cloud.outlast()
            if leased:
                for event in attempt.again:
                    cloud.play(event)
            else:
                again = played(cloud, attempt.again, leased=False)
                assert again.end() == 0, again.moments
            current = settled(cloud).current
            assert current and attempt.version in ("", current.id)
        assert readers.failures == []
    cloud.skip_grace()
    store = cloud.session().store
    replaced = store.versions("mqtt").previous
    assert replaced
    before = store.read("mqtt", replaced.id, purpose="test")
    cloud.play(TICK)
    assert cloud.log_in(before) != "Success"
    assert cloud.log_in() == "Success"


def next_rotation(cloud: CloudStack, readers: Readers) -> Attempt:
    """Start a rotation after readers have stopped using the version that it retires, the last but one."""
    previous = cloud.session().store.versions("mqtt").previous
    if previous is None or previous.retired:
        cloud.rotate()
    readers.caught_up()
    cloud.skip_grace()
    return cloud.rotation()


def played(cloud: CloudStack, events: Sequence[Event], *, leased: bool = True, kill_at: int | None = None) -> Doomed:
    return begin(functools.partial(play, cloud, events, leased), kill_at=kill_at)


def play(stack: CloudStack, events: Sequence[Event], leased: bool, moment: Moment) -> None:
    """Make the calls, with a moment at each change and after each call. If `leased` is not set, no lease is
    acquired."""
    os.environ.update(stack.environment)
    for of, name in (*stack.writes, *MESSAGES):
        setattr(of, name, watched(stack, name, getattr(of, name), moment))
    if not leased:
        setattr(Session, "lease", lambda *_: contextlib.nullcontext())  # noqa: B010 - mypy
    for event in events:
        stack.play(event)
        moment(f"after {event.get('Step', 'the call')}")


def watched(stack: CloudStack, name: str, real: Any, moment: Moment) -> Any:
    @functools.wraps(real)
    def watching(self: object, *args: Any, **named: Any) -> Any:
        reported = stack.moment(name, args, named)
        if reported is None:
            return real(self, *args, **named)
        moment(f"before {reported}")
        answer = real(self, *args, **named)
        moment(f"after {reported}")
        return answer

    return watching
