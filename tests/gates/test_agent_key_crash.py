"""The rotation of an agent's key, and the `put` of one, is killed before or after any effect, and one tick ends it.

An effect is a write of the store or a question to DigitalOcean that changes something there. At no moment do readers
hold a key that the agent does not take, and in the end there are those keys that a version names, and no more.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from secretops.manifest import OwnedAgent
from secretops.operations import put, rotate, tick
from secretops.operations import session as sessions
from secretops.operations.session import Session
from secretops.targets import digitalocean as client
from secretops.targets.digitalocean import DigitalOceanAgent
from secretops.targets.https import Patience
from secretops.values import Value
from tests.gates.doomed import Doomed, Moment, Watched, begin
from tests.real.agent_stack import AgentStack, external_stack, owned_stack
from tests.real.digitalocean import DigitalOcean, Fault, digitalocean

pytestmark = pytest.mark.real

RANDOM_KILLS = 6
OTHERS = "somebody else's"
GIVEN = "GIVEN_TO_THE_DOOMED"
"""The variable that has the key which a doomed `put` is given."""
SECONDS = "SECONDS_OF_THE_DOOMED"
"""The variable that has how long it waits for an answer, where one is to come too late."""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv("DIGITALOCEAN_API_URL", made.url)
        made.add(OTHERS)
        yield made


@pytest.fixture
def stack(tmp_path: Path, account: DigitalOcean) -> AgentStack:
    return owned_stack(tmp_path / "store", account)


def start(stack: AgentStack, command: str, *, kill_at: int | None = None) -> Doomed:
    return begin(functools.partial(act, stack, command), kill_at=kill_at)


def act(stack: AgentStack, command: str, moment: Moment) -> None:
    """The command in a process of its own, with a moment at each effect."""
    os.environ.update(stack.environment)
    opened = stack.session("rotator")
    setattr(sessions, "open_agent", lambda *args: Watched(impatient(*args), "agent", moment))  # noqa: B010 - mypy
    store = Watched(opened.store, "store", moment)
    session = Session(manifest=opened.manifest, store=store, journal=opened.journal, clock=opened.clock)
    if command == "put":
        setattr(client, "verify", watched_verify(moment))  # noqa: B010 - mypy
        put.put(session, "agent-key", Value({"api-key": os.environ[GIVEN]}))
    elif command == "rotate":
        rotate.rotate(session, "agent-key", cut_off=False, say=lambda _: None)
    elif error := next((one.error for one in tick.tick(session) if one.error), None):
        raise error


def impatient(agent: OwnedAgent, admin: Callable[[], Value]) -> DigitalOceanAgent:
    seconds = os.environ.get(SECONDS)
    return DigitalOceanAgent(agent, admin=admin, patience=Patience(each=float(seconds)) if seconds else None)


def watched_verify(moment: Moment) -> Callable[..., None]:
    real = client.verify

    def verify(*args: Any, **given: Any) -> None:
        moment("before verify")
        real(*args, **given)
        moment("after verify")

    return verify


def converged(stack: AgentStack, account: DigitalOcean) -> None:
    """After one tick readers hold a key that works; after the grace and one more there is no other of ours."""
    assert [one.error for one in stack.tick()] == [None, None]
    versions = stack.kept()
    assert versions.pending is None and versions.current and versions.current.published and account.takes(stack.key())
    assert account.ids(but=OTHERS) == sorted(version.user for version in versions.living if version.user)

    stack.skip_grace()
    assert [one.error for one in stack.tick()] == [None, None]
    current = stack.kept().current
    assert current and current.user and account.takes(stack.key())
    assert account.ids(but=OTHERS) == [current.user] and OTHERS in account.names()


@pytest.mark.parametrize("first", [True, False], ids=["the first", "a later"])
def test_a_rotation_killed_before_or_after_any_effect_is_ended_by_one_tick(
    tmp_path: Path, account: DigitalOcean, first: bool
) -> None:
    def prepared(name: str) -> AgentStack:
        """A stack with no key yet, or with one to delete and one in use."""
        made = owned_stack(tmp_path / name, account)
        if not first:
            made.rotate("agent-key")
            made.rotate("agent-key")
            made.skip_grace()
        return made

    stack = prepared("recorded")
    recorded = start(stack, "rotate")
    assert recorded.end() == 0, recorded.moments
    moments = recorded.moments
    assert {"before agent.create", "after agent.create", "before store.add", "before store.publish"} <= {*moments}
    assert ("before agent.delete" in moments) is not first
    converged(stack, account)
    for kill_at in [*range(0, len(moments), 2), len(moments) - 1]:  # after one effect is before the next
        account.keys = {id: key for id, key in account.keys.items() if key.name == OTHERS}
        stack = prepared(f"killed-{kill_at}")
        held = None if first else stack.key()
        doomed = start(stack, "rotate", kill_at=kill_at)
        assert doomed.end() == -signal.SIGKILL
        assert doomed.moments == moments[: kill_at + 1], "not the rotation that was recorded"
        assert held is None or account.takes(stack.key()), moments[kill_at]
        converged(stack, account)
    print(f"{'first' if first else 'later'}: {len(moments)} moments, {len(moments) // 2 + 1} kills")


@pytest.mark.parametrize("fault", [Fault.BROKEN_AFTER, Fault.DROPPED_AFTER, Fault.SLOW_AFTER, Fault.OTHER_AFTER])
def test_a_rotation_whose_answer_was_lost_and_that_is_killed_then_leaves_no_key_either(
    stack: AgentStack, account: DigitalOcean, fault: Fault
) -> None:
    stack.rotate("agent-key")
    stack.skip_grace()
    if fault is Fault.SLOW_AFTER:
        stack.environment[SECONDS] = "3"
    account.fail("create", fault)
    recorded = start(stack, "rotate")
    assert recorded.end() == 0
    assert recorded.moments.count("before agent.create") == 2 and "before agent.delete" in recorded.moments
    converged(stack, account)
    for kill_at in range(0, len(recorded.moments), 2):
        stack.skip_grace()
        account.fail("create", fault)
        doomed = start(stack, "rotate", kill_at=kill_at)
        assert doomed.end() == -signal.SIGKILL
        account.faults.clear()
        assert account.takes(stack.key()), doomed.moments[-1]
        converged(stack, account)


def test_a_put_killed_before_or_after_any_effect_is_ended_by_one_tick_and_no_key_of_the_agent_is_deleted(
    tmp_path: Path, account: DigitalOcean
) -> None:
    first, second = account.add("the first"), account.add("the second")
    names = account.names()

    def prepared(name: str) -> AgentStack:
        made = external_stack(tmp_path / name, account)
        made.put("agent-key", {"api-key": first.secret})
        made.environment[GIVEN] = second.secret
        return made

    recorded = start(prepared("recorded"), "put")
    assert recorded.end() == 0, recorded.moments
    moments = recorded.moments
    assert {"before verify", "after verify", "before store.add", "before store.publish"} <= {*moments}
    for kill_at in range(len(moments)):
        stack = prepared(f"killed-{kill_at}")
        doomed = start(stack, "put", kill_at=kill_at)
        assert doomed.end() == -signal.SIGKILL
        assert account.takes(stack.key()), moments[kill_at]

        assert [one.error for one in stack.tick()] == [None], moments[kill_at]
        versions = stack.kept()
        assert versions.pending is None and versions.current and versions.current.published
        kept = stack.session().store.read("agent-key", versions.current.id, purpose="test")
        assert account.takes(kept) and stack.key() == kept and account.names() == names
    print(f"put: {len(moments)} moments, as many kills")


@pytest.mark.parametrize("command", ["rotate", "tick"])
def test_a_rotation_killed_at_a_random_moment_is_ended_by_one_tick(
    stack: AgentStack, account: DigitalOcean, command: str
) -> None:
    stack.rotate("agent-key")
    began = time.monotonic()
    stack.clock.skip(86400 * 181)
    assert start(stack, command).end() == 0
    usual = time.monotonic() - began
    killed = goes = 0
    while killed < RANDOM_KILLS:
        goes += 1
        assert goes <= 5 * RANDOM_KILLS, f"{killed} hit"
        stack.clock.skip(86400 * 181)
        doomed = start(stack, command)
        began = time.monotonic()
        doomed.process.join(random.uniform(0, usual))  # noqa: S311 - no secret
        if not doomed.process.is_alive():
            usual = min(usual, time.monotonic() - began)
        doomed.process.kill()
        killed += doomed.end() != 0
        assert account.takes(stack.key())
        converged(stack, account)
    print(f"{command}: {killed} of {goes} random kills hit")
