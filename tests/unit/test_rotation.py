"""The order of a rotation's steps, in memory. The target is a stand-in that can refuse; tests/gates uses real ones."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import pytest

from secretops.engine.rotation import Rotation
from secretops.engine.rotator import GraceError, new_token
from secretops.engine.state import Stage, Version
from secretops.errors import RefusedError, StoreError
from secretops.manifest import Reader, Secret, SecretKind
from secretops.values import Value
from tests.unit.memory import NOW, Memory, version

ADMIN = Value({"username": "boss", "password": "of-the-boss"})


@dataclass
class StandInTarget:
    """Accepts everything except the steps in `refuses`, and records the users of its calls."""

    refuses: set[str] = field(default_factory=set)
    calls: list[tuple[str, str]] = field(default_factory=list)
    news: list[bool] = field(default_factory=list)

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:  # noqa: ARG002
        self.news.append(new)
        self._answer("apply", credential["username"])

    def verify(self, credential: Value) -> None:
        self._answer("verify", credential["username"])

    def retire(self, admin: Value, username: str) -> None:  # noqa: ARG002
        self._answer("retire", username)

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:  # noqa: ARG002
        return False

    def _answer(self, step: str, username: str) -> None:
        self.calls.append((step, username))
        if step in self.refuses:
            raise RefusedError(f"refused to {step}", code="test")


MQTT = Secret(
    name="mqtt", kind=SecretKind.MQTT_USER, fields=("username", "password"), readers=(Reader.SERVER, Reader.ROTATOR),
    cadence_days=30, users=("a", "b"),
)  # fmt: skip
GRACE = timedelta(hours=1)


def rotation(
    memory: Memory, target: StandInTarget, *, admin: Callable[[], Value] = lambda: ADMIN, now: datetime = NOW
) -> Rotation:
    return Rotation(
        MQTT, store=memory.store(), target=target, admin=admin, journal=memory, clock=lambda: now, grace=GRACE
    )


def in_memory(
    memory: Memory, target: StandInTarget, *versions: Version, admin: Callable[[], Value] = lambda: ADMIN
) -> Rotation:
    memory.keep(*versions)
    return rotation(memory, target, admin=admin)


@pytest.fixture
def memory() -> Memory:
    return Memory(MQTT.name)


CURRENT, PREVIOUS = version(Stage.CURRENT, "a"), version(Stage.PREVIOUS, "b", days_ago=30)
UNDELIVERED = version(Stage.CURRENT, "a", delivered=False)


@pytest.mark.parametrize("step", ["apply", "verify"])
def test_refused_value_is_never_published_and_is_tried_again(memory: Memory, step: str) -> None:
    target = StandInTarget({step})
    with pytest.raises(RefusedError):
        in_memory(memory, target, CURRENT).advance()
    pending = memory.versions.pending
    assert memory.versions.current == CURRENT and pending and pending.user == "b"
    assert (memory.entries[-1].step, memory.entries[-1].outcome) == (step, f"refused to {step}")
    target.refuses.clear()
    assert rotation(memory, target).advance().id == pending.id
    current = memory.versions.current
    assert current and current.id == pending.id and current.verified


def test_rotation_alternates_users_and_never_reuses_the_current_one(memory: Memory) -> None:
    target = StandInTarget()
    for turn, user in enumerate(("a", "b", "a", "b")):
        rotation(memory, target, now=NOW + turn * 2 * GRACE).advance()
        assert target.calls[-2:] == [("apply", user), ("verify", user)]


def test_under_a_token_from_outside_the_value_is_made_once(memory: Memory) -> None:
    moved = in_memory(memory, StandInTarget())
    tokens = [new_token(NOW) for _ in range(2)]
    values = []
    for token in (tokens[0], tokens[0], tokens[1]):
        assert moved.prepare(token=token) == moved.prepared(token)
        values.append(memory.store().read(MQTT.name, token, purpose="test"))
    assert values[0] == values[1] != values[2]
    assert moved.prepared(tokens[0]) is None, "nobody else's pending version is taken for it"
    moved.publish(moved.prepare(token=tokens[1]))
    assert moved.prepared(tokens[1]) is None, "it is no longer pending"


def test_new_user_is_created_only_without_an_own_one_and_is_notified(memory: Memory) -> None:
    target = StandInTarget({"apply"})
    for force in (False, True):
        with pytest.raises(RefusedError):
            rotation(memory, target).advance(force=force)
    target.refuses.clear()
    for _ in range(2):
        rotation(memory, target).advance()
    assert target.news == [True, False, True, False]


def test_a_user_that_an_operator_put_is_proven_and_published_and_never_set(memory: Memory) -> None:
    target = StandInTarget({"apply"})
    left = version(Stage.PENDING, "somebody")
    assert in_memory(memory, target, left).advance().id == left.id
    assert in_memory(memory, target, version(Stage.CURRENT, "somebody"), left).advance().id == left.id
    assert target.calls == [("verify", "somebody")] * 2
    target.refuses.clear()
    rotation(memory, target, now=NOW + GRACE).advance()
    assert target.news == [True], "the first generated one after it is created as new"


@pytest.mark.parametrize(("current", "refuses", "calls"), [
    pytest.param(UNDELIVERED, {"verify"}, [("verify", "a"), ("apply", "a"), ("verify", "a")], id="refused"),
    pytest.param(UNDELIVERED, set(), [("verify", "a")], id="accepted: to set it would end its sessions"),
    pytest.param(CURRENT, {"verify"}, [], id="readers have it"),
])  # fmt: skip
def test_current_version_is_set_again_only_if_refused_and_undelivered(
    memory: Memory, current: Version, refuses: set[str], calls: list[tuple[str, str]]
) -> None:
    target = StandInTarget(refuses)
    made = in_memory(memory, target, current)
    with pytest.raises(RefusedError) if len(calls) > 1 else contextlib.nullcontext():
        assert not made.reapply_current()
    assert target.calls == calls


@pytest.mark.parametrize(("versions", "act", "calls"), [
    pytest.param((CURRENT,), Rotation.advance, [], id="apply"),
    pytest.param((PREVIOUS, CURRENT), lambda made: made.retire(PREVIOUS), [], id="retire"),
    pytest.param((PREVIOUS, UNDELIVERED), Rotation.reapply_current, [("verify", "a")], id="accept again"),
])  # fmt: skip
def test_a_rotator_that_lost_its_lease_changes_nothing_at_the_target(
    memory: Memory, versions: tuple[Version, ...], act: Callable[[Rotation], object], calls: list[tuple[str, str]]
) -> None:
    def admin() -> Value:
        memory.follow()
        return ADMIN

    target = StandInTarget({"verify"})
    made = in_memory(memory, target, *versions, admin=admin)
    with made.store.lease("the stalled one"), pytest.raises(StoreError, match="the lease is lost") as lost:
        act(made)
    assert target.calls == calls
    assert memory.entries[-1].outcome == lost.value.what
    assert all(one.retired is None for one in memory.versions.all)


def test_retire_lets_the_store_confirm_the_previous_version(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    made = in_memory(memory, StandInTarget(), PREVIOUS, CURRENT)
    confirmed: list[tuple[str, ...]] = []
    monkeypatch.setattr(made.store, "confirm", lambda *which: confirmed.append(which))
    made.retire(PREVIOUS)
    assert confirmed == [(made.secret.name, PREVIOUS.id)]


@pytest.mark.parametrize(("current", "previous", "waits"), [
    pytest.param(CURRENT, PREVIOUS, False, id="the grace is over"),
    pytest.param(version(Stage.CURRENT, "a", days_ago=0), PREVIOUS, True, id="the grace has begun"),
    pytest.param(UNDELIVERED, PREVIOUS, True, id="the current one is not delivered"),
    pytest.param(UNDELIVERED, version(Stage.PREVIOUS, "b", retired=True), False, id="the previous one is retired"),
    pytest.param(UNDELIVERED, version(Stage.PREVIOUS, "an operator's"), True, id="its user is an operator's"),
])  # fmt: skip
def test_password_stays_while_readers_may_use_it(
    memory: Memory, current: Version, previous: Version, waits: bool
) -> None:
    target = StandInTarget()
    with pytest.raises(GraceError) if waits else contextlib.nullcontext():
        in_memory(memory, target, previous, current).advance()
    assert target.calls == ([] if waits else [("apply", "b"), ("verify", "b")])


@pytest.mark.parametrize(
    ("user", "supplied", "waits"), [("own", "own", False), ("own", "other", True), ("b", "b", True)]
)
def test_only_an_operators_user_may_be_supplied_again_within_its_grace(
    memory: Memory, user: str, supplied: str, waits: bool
) -> None:
    made = in_memory(memory, StandInTarget(), version(Stage.PREVIOUS, user), UNDELIVERED)
    with pytest.raises(GraceError) if waits else contextlib.nullcontext():
        made.respect_grace(supplied)


def test_a_pending_version_for_the_user_in_use_is_never_applied(memory: Memory) -> None:
    target = StandInTarget()
    made = in_memory(memory, target, CURRENT, pending := version(Stage.PENDING, "a"))
    with pytest.raises(RefusedError):
        made.apply(pending)
    assert target.calls == []
    made.advance()
    assert target.calls == [("apply", "b"), ("verify", "b")]


@pytest.mark.parametrize(("user", "current", "calls"), [
    pytest.param("b", CURRENT, [("retire", "b")], id="ours"),
    pytest.param("a", CURRENT, [], id="its user is in use again"),
    pytest.param("an operator's", CURRENT, [], id="an operator's"),
])  # fmt: skip
def test_only_an_idle_user_of_ours_is_retired(
    memory: Memory, user: str, current: Version, calls: list[tuple[str, str]]
) -> None:
    target, previous = StandInTarget(), version(Stage.PREVIOUS, user)
    in_memory(memory, target, previous, current).retire(previous)
    assert target.calls == calls
    assert memory.versions.previous and memory.versions.previous.retired == NOW
