"""A rotator's clock that jumps, as NTP or a machine that was resumed has it: on the real dotenv store, by real ticks.

The broker is the stand-in of the simulated year, in which the clock jumps as well, at any moment.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secretops.engine.decisions import Reason
from secretops.engine.state import Replica, Version
from secretops.manifest import Broker as Address
from secretops.manifest import BrokerKind, MqttProtocol
from secretops.operations import put, tick
from secretops.operations import session as sessions
from secretops.operations.status import Standing, status
from secretops.operations.tick import Outcome
from tests.gates.year.systems import NOBODYS, Broker, StandInTarget
from tests.real.stack import Clock, Stack, make_stack

BEGIN = datetime(2026, 3, 1, 12, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
GRACE = HOUR
CADENCE = 90 * DAY
USERS = ("user-a", "user-b")


@dataclass
class Still(Clock):
    """It stands where it was set."""

    now: datetime = BEGIN

    def __call__(self) -> datetime:
        return self.now

    def jump(self, by: timedelta) -> None:
        self.now += by


class Undisturbed:
    """`Caller`: the broker answers, always."""

    def reach(self, system: str) -> None: ...

    def look(self, system: str) -> None: ...

    def effect(self, system: str, what: str, act: Callable[[], None]) -> None:  # noqa: ARG002 - nothing befalls it
        act()

    def forgets(self) -> bool:
        return False

    def until(self, moment: datetime) -> None: ...

    def true_time(self) -> datetime:
        return BEGIN


@dataclass
class Jumping:
    """A stack whose mqtt was rotated twice, and whose first user's grace is not over."""

    stack: Stack
    clock: Still
    broker: Broker = field(default_factory=Broker)
    reports: tuple[Replica, ...] = ()

    @property
    def current(self) -> Version:
        found = self.stack.session().store.versions("mqtt").current
        assert found
        return found

    @property
    def previous(self) -> Version:
        found = self.stack.session().store.versions("mqtt").previous
        assert found
        return found

    def tick(self) -> Outcome:
        return next(outcome for outcome in self.stack.tick() if outcome.secret == "mqtt")

    def readers_log_in(self) -> bool:
        value = self.stack.credential()
        return self.broker.logs_in(value["username"], value["password"])


@pytest.fixture
def jumping(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Jumping]:
    address = Address(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=False)
    stack = make_stack(tmp_path / "store", address, users=USERS, grace_seconds=int(GRACE.total_seconds()))
    clock = stack.clock = Still()
    made = Jumping(stack, clock)
    for module in (sessions, put, tick):
        monkeypatch.setattr(module, "open_target", lambda *_: StandInTarget(made.broker, Undisturbed()))
    monkeypatch.setattr(sessions, "read_reports", lambda *_, **__: made.reports)
    made.broker.users["root"] = "of-the-operator"
    stack.put("broker-admin", {"username": "root", "password": "of-the-operator"})
    made.tick()
    clock.jump(CADENCE)
    assert made.tick().done[0].startswith("published")
    yield made
    assert made.readers_log_in()


BACK = [MINUTE, HOUR, DAY, 100 * DAY, 1000 * DAY]


@pytest.mark.parametrize("by", BACK, ids=str)
def test_back_after_a_rotation_nothing_is_rotated_again(jumping: Jumping, by: timedelta) -> None:
    before = jumping.current.id
    jumping.clock.jump(-by)
    outcome = jumping.tick()
    assert (outcome.done, outcome.error) == ((f"verified {before}",), None)
    assert jumping.current.id == before


@pytest.mark.parametrize("by", BACK, ids=str)
def test_back_within_the_grace_no_user_is_retired_sooner_than_that_grace(jumping: Jumping, by: timedelta) -> None:
    old = jumping.previous
    jumping.clock.jump(-by)
    for passed in (timedelta(), GRACE - MINUTE):
        jumping.clock.jump(passed)
        jumping.tick()
        assert jumping.previous == old and jumping.broker.users["user-a"] != NOBODYS
    jumping.clock.jump(by + MINUTE)
    jumping.tick()
    assert jumping.previous.retired and jumping.broker.users["user-a"] == NOBODYS


@pytest.mark.parametrize("by", BACK, ids=str)
def test_back_after_a_retirement_nothing_is_retired_again_or_taken_back(jumping: Jumping, by: timedelta) -> None:
    jumping.clock.jump(GRACE)
    assert jumping.tick().done[0].startswith("retired")
    retired, users = jumping.previous, dict(jumping.broker.users)
    jumping.clock.jump(-by)
    assert jumping.tick().done == (f"verified {jumping.current.id}",)
    assert (jumping.previous, jumping.broker.users) == (retired, users)


@pytest.mark.parametrize("by", [CADENCE + DAY, 365 * DAY, 3650 * DAY], ids=str)
def test_forward_beyond_the_patience_it_is_rotated_once_and_a_person_is_told(jumping: Jumping, by: timedelta) -> None:
    before = jumping.current.id
    jumping.clock.jump(by)
    standing = {one.name: one for one in status(jumping.stack.session())}["mqtt"]
    assert standing.standing is Standing.ATTENTION and "overdue since" in " ".join(standing.notes)
    outcome = jumping.tick()
    published = [text for text in outcome.done if text.startswith("published")]
    assert published == [f"published {jumping.current.id}"] and jumping.current.id != before
    assert outcome.reasons == (Reason.OVERDUE,) and "is the schedule on?" in outcome.attention[0]
    outcome = jumping.tick()
    assert (outcome.done, outcome.attention) == ((f"verified {jumping.current.id}",), ())


def test_forward_within_the_patience_it_is_rotated_and_nobody_is_told(jumping: Jumping) -> None:
    jumping.clock.jump(CADENCE + DAY - MINUTE)
    outcome = jumping.tick()
    assert any(text.startswith("published") for text in outcome.done) and outcome.attention == ()


def test_a_server_that_is_behind_is_told_of_also_where_its_user_is_retired_and_given_anew_by_one_tick(
    jumping: Jumping,
) -> None:
    old = jumping.previous.id
    jumping.reports = (Replica(id="server-1", user="user-a", secret="mqtt", version=old, since=BEGIN),)
    jumping.clock.jump(CADENCE)
    outcome = jumping.tick()
    assert [text.partition(" ")[0] for text in outcome.done] == ["retired", "published"]
    assert outcome.reasons == (Reason.REPLICA_BEHIND,)
    assert outcome.attention[0].startswith(f"server-1 is on version {old}, past the grace")


def test_forward_and_back_again_it_is_rotated_once(jumping: Jumping) -> None:
    jumping.clock.jump(CADENCE)
    jumping.tick()
    after = jumping.current.id
    jumping.clock.jump(-CADENCE)
    for _ in range(3):
        assert jumping.tick().done == (f"verified {after}",)
        jumping.clock.jump(HOUR)


def test_a_lease_that_somebody_left_with_a_time_to_come_is_taken_at_once(jumping: Jumping) -> None:
    lease = jumping.stack.root / ".lease"
    lease.write_text("secretops tick (pid 1 on elsewhere) since 2099-01-01 00:00:00 UTC\n")
    assert jumping.tick().error is None
    assert "2099" not in lease.read_text(), "whoever holds it says so"
