"""What a cloud's rotator does stalls in any read or write and is followed, comes at the same time as others, or finds
what a person rolled back: what readers are given logs in all the while, and all ends well.

The same tests for each cloud, as in test_cloud_crash.py.
"""

from __future__ import annotations

import functools
import re

import pytest

from tests.gates.calls import play_and_tell, play_in_turn
from tests.gates.converging import settled
from tests.gates.doomed import Doomed, begin
from tests.real.cloud_stack import PREPARED, PUBLISHED, RETIRED, TICK, CloudStack
from tests.real.stack import Readers

pytestmark = pytest.mark.real

MOST_READS = 3
"""Of a tick: the one that asks what servers report, the admin's to retire a user, and the one that proves the current
one."""


@pytest.mark.parametrize("what", ["any read", PREPARED, PUBLISHED, RETIRED])
def test_who_stalled_and_was_followed_meanwhile_changes_no_user_that_is_in_use_by_now(
    cloud: CloudStack, what: str
) -> None:
    """In a write, that is while the SDK is about to ask for it: it asks for minutes."""
    for _ in range(2):
        cloud.rotate()
        cloud.skip_grace()
    stall = None if what == "any read" else cloud.stalls()[what]
    event, calls = (stall.event, stall.calls) if stall else (TICK, cloud.reads)
    stops: list[int | str]
    if stall:
        stops = [stall.at]
    else:
        recorded = begin(functools.partial(play_and_tell, cloud, event, calls))
        assert recorded.end() == 0, recorded.moments
        stops = [at for at, moment in enumerate(recorded.moments) if moment.startswith("before")]
        stops = stops[-MOST_READS:]
        assert len(stops) >= 2, "the admin's, and the user's"
    with Readers(cloud) as readers:
        for stop_at in stops:
            cloud.rotate(cut_off=True)
            readers.caught_up()
            cloud.skip_grace()
            if stall:
                stall.arm()
            stalled = begin(functools.partial(play_and_tell, cloud, event, calls), stop_at=stop_at)
            come_to(stalled, stop_at)
            cloud.outlast()
            followed(cloud, readers, what)
            stalled.wake()
            assert stalled.end() == 0, stalled.moments
            assert cloud.log_in() == "Success", stalled.moments
            readers.caught_up()
            assert re.search("not ours any more|which is in use", stalled.moments[-1]), stalled.moments
            cloud.skip_grace()
            cloud.play(TICK)
            settled(cloud)
            readers.caught_up()
        assert readers.failures == []


def test_after_a_rollback_by_hand_nobody_is_cut_off_before_the_grace_is_over(cloud: CloudStack) -> None:
    for _ in range(2):
        cloud.rotate()
        cloud.skip_grace()
    held = cloud.delivered()
    cloud.roll_back()
    for _ in range(2):
        cloud.play(TICK)
        with pytest.raises(cloud.refusals, match="may be in use until"):
            cloud.begin_another()
        assert (cloud.log_in(), cloud.log_in(held)) == ("Success", "Success"), "every reader still holds it"
    cloud.skip_grace()
    cloud.play(TICK)
    assert cloud.log_in() == "Success"
    assert cloud.log_in(held) != "Success"


def test_calls_that_come_at_the_same_time_take_turns_and_what_readers_find_logs_in(cloud: CloudStack) -> None:
    for name in ("broker-admin", "mqtt"):
        cloud.rotate(name)
    with cloud.taking_turns() as shared, Readers(cloud) as readers:
        readers.caught_up()
        cloud.skip_grace()
        before = {name: cloud.session().store.versions(name).current for name in ("mqtt", "broker-admin")}
        attempts = cloud.at_once()
        called = [begin(functools.partial(play_in_turn, shared, each.events), hold_at=[0]) for each in attempts]
        for each in called:
            each.next_moment()
        for each in called:
            each.go_on()
        assert [each.end() for each in called] == [0] * len(called), [each.moments for each in called]
        readers.caught_up()
        assert readers.failures == []
    made = {attempt.version for attempt in attempts}
    for name, old in before.items():
        versions = settled(cloud, name)
        assert versions.previous and old and versions.previous.id == old.id, "there is one new one"
        assert versions.current and (versions.current.id in made or made == {""})


def followed(cloud: CloudStack, readers: Readers, what: str) -> None:
    """Somebody else does what the stalled one was about to, and gives the user that it has in hand another password.

    What is prepared they publish first, and then another, for the other user.
    """
    for _ in range(3 if what == PUBLISHED else 1):
        cloud.skip_grace()
        cloud.rotate()
        readers.caught_up()


def come_to(stalled: Doomed, moment: int | str) -> None:
    """Wait until it has stopped there."""
    while moment not in (len(stalled.moments) - 1, *stalled.moments[-1:]):
        stalled.next_moment()
