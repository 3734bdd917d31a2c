"""What a cloud's rotator does stalls in a read or a write and loses its lease meanwhile, or comes at the same time as
others: what readers are given logs in all the while, and all ends well.

The same tests for each cloud, as in test_cloud_crash.py.
"""

from __future__ import annotations

import functools
import re

import pytest

from tests.gates.calls import play_and_tell, play_in_turn
from tests.gates.converging import settled
from tests.gates.doomed import begin
from tests.real.cloud_stack import PUBLISHED, TICK, CloudStack, Stall
from tests.real.stack import DEADLINE, Readers

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.mark.parametrize("what", ["a read", PUBLISHED])
def test_holder_that_stalled_and_lost_its_lease_changes_no_user_in_use(cloud: CloudStack, what: str) -> None:
    """It stalls in a read, or in a write: while the SDK is about to ask for it, which it does for minutes."""
    for _ in range(2):
        cloud.rotate()
        cloud.skip_grace()
    if what == "a read":
        recorded = begin(functools.partial(play_and_tell, cloud, TICK, cloud.reads))
        assert recorded.end() == 0, recorded.moments
        reads = [at for at, moment in enumerate(recorded.moments) if moment.startswith("before")]
        stall = Stall(TICK, cloud.reads, reads[-2])  # the admin's, to retire a user; the last one proves the current
    else:
        stall = cloud.stalls()[what]
    with Readers(cloud) as readers:
        cloud.rotate(cut_off=True)
        readers.caught_up()
        cloud.skip_grace()
        stall.arm()
        stalled = begin(functools.partial(play_and_tell, cloud, stall.event, stall.calls), stop_at=stall.at)
        while stall.at not in (len(stalled.moments) - 1, *stalled.moments[-1:]):
            stalled.next_moment()
        cloud.outlast()
        # Another process does what the stalled one was about to, and gives the user it has in hand another password:
        # it publishes what is prepared first, and then another, for the other user.
        for _ in range(3 if what == PUBLISHED else 1):
            cloud.skip_grace()
            cloud.rotate()
            readers.caught_up()
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


def test_calls_at_the_same_time_take_turns_and_readers_log_in(cloud: CloudStack) -> None:
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
        ended = [each.end(DEADLINE * len(called)) for each in called]  # one waits for all the others
        assert ended == [0] * len(called), [each.moments for each in called]
        readers.caught_up()
        assert readers.failures == []
    made = {attempt.version for attempt in attempts}
    for name, old in before.items():
        versions = settled(cloud, name)
        assert versions.previous and old and versions.previous.id == old.id, "there is one new one"
        assert versions.current and (versions.current.id in made or made == {""})
