"""The steps' order, on the real store. The target is a stand-in that can be told to refuse; real ones are in gates/."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from secretops.engine.rotation import GraceError, Rotation, new_token
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import RefusedError, StoreError
from secretops.manifest import Broker, BrokerKind, MqttProtocol, Reader, Secret, SecretKind
from secretops.stores.dotenv import DotenvVersionStore
from secretops.values import Value
from tests.real.stack import Stack, make_stack
from tests.unit.memory import NOW, Memory, version

ADMIN = Value({"username": "boss", "password": "of-the-boss"})


@dataclass
class StandInTarget:
    """Accepts everything but the steps in `refuses`, and remembers whom it was asked about."""

    refuses: set[str] = field(default_factory=set)
    asked: list[tuple[str, str]] = field(default_factory=list)
    news: list[bool] = field(default_factory=list)

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:  # noqa: ARG002
        self.news.append(new)
        self._answer("apply", credential["username"])

    def verify(self, credential: Value) -> None:
        self._answer("verify", credential["username"])

    def retire(self, admin: Value, username: str) -> None:  # noqa: ARG002
        self._answer("retire", username)

    def _answer(self, step: str, username: str) -> None:
        self.asked.append((step, username))
        if step in self.refuses:
            raise RefusedError(f"refused to {step}")


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=False)
    return make_stack(tmp_path / "store", broker, users=("a", "b"))


def rotation(stack: Stack, target: StandInTarget) -> Rotation:
    session = stack.session()
    return Rotation(
        stack.manifest.secret("mqtt"),
        store=session.store,
        target=target,
        admin=lambda: ADMIN,
        journal=session.journal,
        clock=stack.clock,
        grace=timedelta(seconds=stack.manifest.grace_seconds),
    )


@pytest.mark.parametrize("step", ["apply", "verify"])
def test_a_value_that_the_target_refuses_is_never_published_and_the_next_try_goes_on_with_it(
    stack: Stack, step: str
) -> None:
    target = StandInTarget()
    rotation(stack, target).advance()
    before = stack.session().store.versions("mqtt").current
    text = stack.env.read_text()
    target.refuses.add(step)
    with pytest.raises(RefusedError):
        rotation(stack, target).advance()
    versions = stack.session().store.versions("mqtt")
    assert versions.current == before
    assert versions.pending and versions.pending.user == "b"
    assert stack.env.read_text() == text
    last = stack.session().journal.last("mqtt")
    assert last and (last.step, last.outcome) == (step, f"refused to {step}")
    target.refuses.clear()
    assert rotation(stack, target).advance().id == versions.pending.id
    assert stack.credential()["username"] == "b"


def test_the_user_in_use_is_never_asked_for_and_users_take_turns(stack: Stack) -> None:
    target = StandInTarget()
    for user in ("a", "b", "a", "b"):
        stack.skip_grace()
        rotation(stack, target).advance()
        assert target.asked[-2:] == [("apply", user), ("verify", user)]


def test_under_a_token_from_outside_the_value_is_made_once_and_nobody_elses_pending_one_is_taken_for_it(
    stack: Stack,
) -> None:
    moved = rotation(stack, StandInTarget())
    tokens = [new_token(stack.clock()) for _ in range(2)]
    values = []
    for token in (tokens[0], tokens[0], tokens[1]):
        stack.clock.skip(1)
        assert moved.prepare(token=token) == moved.prepared(token)
        values.append(stack.session().store.read("mqtt", token, purpose="test"))
    assert values[0] == values[1] != values[2]
    assert moved.prepared(tokens[0]) is None
    assert moved.prepared(tokens[1]) == stack.session().store.versions("mqtt").pending
    moved.publish(moved.prepare(token=tokens[1]))
    assert moved.prepared(tokens[1]) is None, "it is no longer pending"


def put_and_left(stack: Stack, username: str) -> str:
    """What a `put` leaves that is killed before it publishes."""
    now = stack.clock()
    version = Version(id=new_token(now), stage=Stage.PENDING, created=now, user=username)
    stack.session().store.add("mqtt", version, Value({"username": username, "password": "of-the-operator"}))
    return version.id


def test_only_a_store_without_a_user_of_its_own_asks_for_a_new_one_and_taking_over_is_said(stack: Stack) -> None:
    target = StandInTarget({"apply"})
    with pytest.raises(RefusedError):
        rotation(stack, target).advance()
    with pytest.raises(RefusedError):
        rotation(stack, target).advance(cut_off=True)
    assert target.news == [True, False]
    target.refuses.clear()
    rotation(stack, target).advance()
    rotation(stack, target).advance()
    assert target.news[2:] == [True, False]


def test_after_an_operators_own_user_the_first_of_ours_is_still_asked_for_as_a_new_one(stack: Stack) -> None:
    target = StandInTarget()
    put_and_left(stack, "somebody")
    rotation(stack, target).advance()
    rotation(stack, target).advance()
    assert target.news == [True]


def test_a_user_that_an_operator_put_is_proven_and_published_and_never_set(stack: Stack) -> None:
    target = StandInTarget({"apply"})
    for username in ("somebody", "somebody"):  # the second time it is in use
        left = put_and_left(stack, username)
        assert rotation(stack, target).advance().id == left
    assert target.asked == [("verify", "somebody")] * 2
    assert stack.credential()["username"] == "somebody"


def test_within_the_grace_nothing_is_begun_unless_readers_are_cut_off(stack: Stack) -> None:
    target = StandInTarget()
    rotation(stack, target).advance()
    rotation(stack, target).advance()
    asked = list(target.asked)
    with pytest.raises(GraceError):
        rotation(stack, target).advance()
    assert target.asked == asked
    assert stack.session().store.versions("mqtt").pending is None
    rotation(stack, target).advance(cut_off=True)
    assert target.asked[-1] == ("verify", "a")


def test_a_user_that_does_not_retire_is_tried_again(stack: Stack) -> None:
    target = StandInTarget({"retire"})
    rotation(stack, target).advance()
    rotation(stack, target).advance()
    previous = stack.session().store.versions("mqtt").previous
    assert previous
    with pytest.raises(RefusedError):
        rotation(stack, target).retire(previous)
    assert stack.session().store.versions("mqtt").previous == previous


def undelivered(stack: Stack, target: StandInTarget, monkeypatch: pytest.MonkeyPatch) -> Rotation:
    """A rotation whose current version no reader has got. Only this fact is played."""
    made = rotation(stack, target)
    made.advance()
    target.asked.clear()
    kept = DotenvVersionStore.versions

    def versions(self: DotenvVersionStore, secret: str) -> Versions:
        return Versions(tuple(replace(each, published=None) for each in kept(self, secret).all))

    monkeypatch.setattr(DotenvVersionStore, "versions", versions)
    return made


def test_a_version_that_no_reader_has_yet_is_set_anew_where_the_target_refuses_it(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = StandInTarget()
    made = undelivered(stack, target, monkeypatch)
    target.refuses.add("verify")
    with pytest.raises(RefusedError):
        made.accept_again()
    assert target.asked == [("verify", "a"), ("apply", "a"), ("verify", "a")]


def test_a_version_that_logs_in_is_not_set_anew_for_that_would_end_its_sessions(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = StandInTarget()
    assert not undelivered(stack, target, monkeypatch).accept_again()
    assert target.asked == [("verify", "a")]


def test_a_version_that_readers_have_is_never_set_anew(stack: Stack) -> None:
    target = StandInTarget()
    made = rotation(stack, target)
    made.advance()
    target.asked.clear()
    target.refuses.add("verify")
    assert not made.accept_again()
    assert target.asked == []


# In memory: the order of the effects


MQTT = Secret(
    name="mqtt",
    kind=SecretKind.MQTT_USER,
    fields=("username", "password"),
    readers=(Reader.SERVER, Reader.ROTATOR),
    cadence_days=30,
    users=("a", "b"),
)
GRACE = timedelta(hours=1)


def in_memory(
    memory: Memory, target: StandInTarget, *versions: Version, admin: Callable[[], Value] = lambda: ADMIN
) -> Rotation:
    memory.keep(*versions)
    return Rotation(
        MQTT, store=memory.store(), target=target, admin=admin, journal=memory, clock=lambda: NOW, grace=GRACE
    )


@pytest.fixture
def memory() -> Memory:
    return Memory(MQTT.name)


CURRENT, PREVIOUS = version(Stage.CURRENT, "a"), version(Stage.PREVIOUS, "b", days_ago=30)
UNDELIVERED = version(Stage.CURRENT, "a", delivered=False)


@pytest.mark.parametrize(
    ("versions", "act", "asked"),
    [
        pytest.param((CURRENT,), Rotation.advance, [], id="apply"),
        pytest.param((PREVIOUS, CURRENT), lambda made: made.retire(PREVIOUS), [], id="retire"),
        pytest.param((PREVIOUS, UNDELIVERED), Rotation.accept_again, [("verify", "a")], id="accept again"),
    ],
)
def test_a_rotator_that_lost_its_lease_changes_nothing_at_the_target(
    memory: Memory,
    versions: tuple[Version, ...],
    act: Callable[[Rotation], object],
    asked: list[tuple[str, str]],
) -> None:
    def admin() -> Value:
        memory.follow()
        return ADMIN

    target = StandInTarget({"verify"})
    made = in_memory(memory, target, *versions, admin=admin)
    with made._store.lease("the stalled one"), pytest.raises(StoreError, match="not ours any more") as lost:
        act(made)
    assert target.asked == asked
    assert memory.entries[-1].outcome == lost.value.what
    assert all(one.retired is None for one in memory.versions.all)


@pytest.mark.parametrize(
    ("current", "previous", "waits"),
    [
        pytest.param(CURRENT, PREVIOUS, False, id="the grace is over"),
        pytest.param(version(Stage.CURRENT, "a", days_ago=0), PREVIOUS, True, id="the grace has begun"),
        pytest.param(UNDELIVERED, PREVIOUS, True, id="the current one is not delivered"),
        pytest.param(UNDELIVERED, version(Stage.PREVIOUS, "b", retired=True), False, id="the previous one is retired"),
        pytest.param(UNDELIVERED, version(Stage.PREVIOUS, "an operator's"), False, id="its user is an operator's"),
    ],
)
def test_a_user_gets_no_new_password_while_its_readers_may_hold_the_old_one(
    memory: Memory, current: Version, previous: Version, waits: bool
) -> None:
    target = StandInTarget()
    with pytest.raises(GraceError) if waits else contextlib.nullcontext():
        in_memory(memory, target, previous, current).advance()
    assert target.asked == ([] if waits else [("apply", "b"), ("verify", "b")])


def test_a_pending_version_for_the_user_in_use_is_never_applied(memory: Memory) -> None:
    target = StandInTarget()
    made = in_memory(memory, target, CURRENT, pending := version(Stage.PENDING, "a"))
    with pytest.raises(RefusedError):
        made.apply(pending)
    assert target.asked == []
    made.advance()
    assert target.asked == [("apply", "b"), ("verify", "b")]


@pytest.mark.parametrize(
    ("user", "current", "asked"),
    [
        pytest.param("b", CURRENT, [("retire", "b")], id="ours"),
        pytest.param("a", CURRENT, [], id="its user is in use again"),
        pytest.param("an operator's", CURRENT, [], id="an operator's"),
    ],
)
def test_only_an_idle_user_of_ours_is_retired(
    memory: Memory, user: str, current: Version, asked: list[tuple[str, str]]
) -> None:
    target, previous = StandInTarget(), version(Stage.PREVIOUS, user)
    in_memory(memory, target, previous, current).retire(previous)
    assert target.asked == asked
    assert memory.versions.previous and memory.versions.previous.retired == NOW
