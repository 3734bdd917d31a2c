"""The agent key of a stack, owned and external, against a server that speaks DigitalOcean's documented API."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from dotenv import dotenv_values

from secretops.engine.agent_key import AgentKey
from secretops.engine.rotation import GraceError
from secretops.engine.state import Version
from secretops.errors import ExitCode, RefusedError, UnreachableError, UsageError
from secretops.manifest import OwnedAgent
from secretops.operations import session as sessions
from secretops.operations.purge import purge
from secretops.operations.put import put
from secretops.operations.tick import Outcome
from secretops.targets.agents import NamedKey
from secretops.targets.digitalocean import API_VARIABLE, DigitalOceanAgent
from secretops.values import Value, new_password
from tests.real.agent_stack import PREFIX, AgentStack, external_stack, owned_stack
from tests.real.digitalocean import DigitalOcean, Fault, digitalocean

pytestmark = pytest.mark.real

HALF_A_YEAR = 86400 * 181
OTHERS = "somebody else's"
FAULTS = [
    *(("create", fault) for fault in (Fault.BROKEN, Fault.BROKEN_AFTER, Fault.DROPPED_AFTER, Fault.GARBAGE_AFTER)),
    *(("list", fault) for fault in (Fault.LIMITED, Fault.OTHER_AFTER)),
    *(("complete", fault) for fault in (Fault.MOVED, Fault.BROKEN_AFTER)),
    *(("delete", fault) for fault in (Fault.BROKEN, Fault.DROPPED_AFTER)),
]
"""What goes wrong with which operation. That a late answer is none, test_agent_keys.py shows."""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        made.add(OTHERS)
        yield made


@pytest.fixture
def owned(tmp_path: Path, account: DigitalOcean, monkeypatch: pytest.MonkeyPatch) -> AgentStack:
    """Its pauses move the clock instead."""
    stack = owned_stack(tmp_path / "store", account)

    def patiently(agent: OwnedAgent, admin: Callable[[], Value]) -> DigitalOceanAgent:
        return DigitalOceanAgent(agent, admin=admin, sleep=stack.clock.skip)

    monkeypatch.setattr(sessions, "open_agent", patiently)
    return stack


@pytest.fixture
def external(tmp_path: Path, account: DigitalOcean) -> AgentStack:
    return external_stack(tmp_path / "store", account)


def of_the_key(outcomes: list[Outcome]) -> Outcome:
    (found,) = [one for one in outcomes if one.secret == "agent-key"]
    return found


def ours(account: DigitalOcean) -> list[str]:
    """The keys that secretops made; whoever else's are still there."""
    assert OTHERS in account.names()
    return account.ids(but=OTHERS)


def key_of(version: Version) -> str:
    return NamedKey.of(version.user or "").id


def mover(stack: AgentStack, account: DigitalOcean, sleep: Callable[[float], None]) -> AgentKey:
    """The stack's own, that waits as it is told here."""
    session = stack.session("rotator")
    secret = session.secret("agent-key")
    assert isinstance(secret.agent, OwnedAgent)
    admin = session.store.versions("agent-admin").current
    assert admin
    return AgentKey(
        secret,
        prefix=PREFIX,
        agent=DigitalOceanAgent(secret.agent, admin=lambda: account.admin, sleep=sleep),
        admins=(admin.id,),
        store=session.store,
        journal=session.journal,
        clock=stack.clock,
        grace=timedelta(seconds=stack.manifest.grace_seconds),
        sleep=sleep,
    )


def test_the_first_tick_makes_a_key_and_readers_find_what_the_agent_has_answered_to(
    owned: AgentStack, account: DigitalOcean
) -> None:
    outcome = of_the_key(owned.tick())

    current = owned.kept().current
    assert outcome.exit_code is ExitCode.DONE and current and current.verified and current.published
    assert ours(account) == [current.user] and account.takes(owned.key())
    assert account.shown == [owned.key()["api-key"]]
    assert dotenv_values(owned.env)["DO_AGENT_API_KEY"] == owned.key()["api-key"]


def test_after_half_a_year_both_keys_work_until_the_grace_is_over_and_then_the_old_one_is_deleted(
    owned: AgentStack, account: DigitalOcean
) -> None:
    owned.tick()
    old = owned.key()
    owned.clock.skip(HALF_A_YEAR)

    assert of_the_key(owned.tick()).done[0].startswith("published")
    new = owned.key()
    assert new != old and account.takes(old) and account.takes(new) and len(ours(account)) == 2
    assert of_the_key(owned.tick()).done == ()

    owned.skip_grace()
    assert of_the_key(owned.tick()).done[0].startswith("retired")
    current = owned.kept().current
    assert not account.takes(old) and account.takes(new) and current and ours(account) == [current.user]


@pytest.mark.parametrize(("operation", "fault"), FAULTS)
def test_whatever_goes_wrong_once_a_key_works_throughout_and_none_is_left_behind(
    owned: AgentStack, account: DigitalOcean, operation: str, fault: Fault
) -> None:
    owned.rotate("agent-key")
    owned.clock.skip(HALF_A_YEAR)
    owned.rotate("agent-key")
    owned.clock.skip(HALF_A_YEAR)  # a rotation deletes one, and makes one
    before = owned.key()
    account.fail(operation, fault)

    ticks = 0
    while before == owned.key():
        ticks += 1
        owned.tick()
        assert account.takes(owned.key()), "readers hold a key that the agent does not take"
        assert ticks <= 2
    owned.skip_grace()
    assert [one.error for one in owned.tick()] == [None, None]

    current = owned.kept().current
    assert account.faults == [] and current and ours(account) == [current.user]


def test_a_lost_key_that_comes_to_light_long_after_goes_with_the_next_tick_though_it_has_the_name_of_the_current_one(
    owned: AgentStack, account: DigitalOcean
) -> None:
    owned.tick()
    current = owned.kept().current
    assert current
    (name,) = [name for name in account.names() if name != OTHERS]
    late = account.add(name)
    owned.tick()
    assert late.id not in account.keys and ours(account) == [current.user] and account.takes(owned.key())


def test_keys_of_others_are_left_alone_even_with_a_name_that_begins_as_ours(
    owned: AgentStack, account: DigitalOcean
) -> None:
    account.add(f"{PREFIX}-0123456789abcdef")  # another stack's, of the same name and agent
    for _ in range(3):
        owned.rotate("agent-key")
        owned.clock.skip(HALF_A_YEAR)
    owned.tick()
    owned.skip_grace()
    owned.tick()
    assert f"{PREFIX}-0123456789abcdef" in account.names() and len(ours(account)) == 2


def test_a_current_key_that_somebody_deleted_is_told_and_replaced_within_the_hour(
    owned: AgentStack, account: DigitalOcean
) -> None:
    owned.tick()
    current = owned.kept().current
    assert current and current.user
    account.delete(current.user)

    error = of_the_key(owned.tick()).error
    assert error and error.exit_code is ExitCode.ATTENTION
    assert key_of(current) in error.what and "who deleted it" in error.remedy

    assert account.takes(owned.key()) and of_the_key(owned.tick()).error is None


def test_a_key_that_the_agent_does_not_know_yet_is_shown_again(owned: AgentStack, account: DigitalOcean) -> None:
    account.not_yet = 2
    slept: list[float] = []
    mover(owned, account, slept.append).advance()
    assert slept == [2, 4] and account.takes(owned.key())


def test_a_second_rotation_within_the_grace_waits_unless_readers_are_cut_off(
    owned: AgentStack, account: DigitalOcean
) -> None:
    owned.rotate("agent-key")
    first = owned.key()
    owned.rotate("agent-key")
    second = owned.key()
    with pytest.raises(GraceError, match=r"key [0-9a-f-]{36} was replaced, and may be in use"):
        owned.rotate("agent-key")
    assert account.takes(first) and account.takes(second)

    owned.rotate("agent-key", cut_off=True)
    assert not account.takes(first) and account.takes(second) and account.takes(owned.key())


def test_a_token_is_tried_before_it_is_kept_and_no_key_is_taken(owned: AgentStack, account: DigitalOcean) -> None:
    with pytest.raises(UsageError, match="secretops rotate agent-key"):
        owned.put("agent-key", {"api-key": new_password()})
    good = owned.session().store.versions("agent-admin").current
    assert good and good.verified
    account.scopes = {"genai:create", "genai:read"}
    with pytest.raises(RefusedError, match="HTTP 403"):
        owned.put("agent-admin", dict(account.admin))
    with pytest.raises(UsageError, match="control character"):
        owned.put("agent-admin", {"token": f"{new_password()}\n"})
    assert owned.session().store.versions("agent-admin").current == good


def test_an_external_key_is_published_once_its_agent_has_answered_to_it(
    external: AgentStack, account: DigitalOcean
) -> None:
    key = account.add("from the dashboard")
    version = external.put("agent-key", {"api-key": key.secret})
    assert version.verified and external.key() == {"api-key": key.secret}

    canary = new_password()
    with pytest.raises(RefusedError) as told:
        external.put("agent-key", {"api-key": canary})
    assert canary not in str(told.value)
    assert external.key() == {"api-key": key.secret} and external.kept().pending is None


def test_an_agent_that_does_not_answer_leaves_the_current_key_and_untested_is_the_way_round(
    external: AgentStack, account: DigitalOcean
) -> None:
    first, second = account.add("one"), account.add("other")
    external.put("agent-key", {"api-key": first.secret})
    account.fail("complete", Fault.GARBAGE_AFTER)
    with pytest.raises(UnreachableError, match="secretops put agent-key --untested"):
        external.put("agent-key", {"api-key": second.secret})
    assert external.key() == {"api-key": first.secret}

    asked = len(account.asked)
    version = put(external.session(), "agent-key", Value({"api-key": second.secret}), untested=True)
    assert version.verified is None and external.key() == {"api-key": second.secret} and len(account.asked) == asked


def test_a_stack_whose_agent_became_its_own_deletes_none_that_it_did_not_make(
    tmp_path: Path, external: AgentStack, account: DigitalOcean
) -> None:
    key = account.add("from the dashboard")
    external.put("agent-key", {"api-key": key.secret})
    stack = owned_stack(tmp_path / "store", account)
    assert of_the_key(stack.tick()).error is None and stack.key() == {"api-key": key.secret}

    stack.rotate("agent-key")
    stack.skip_grace()
    assert of_the_key(stack.tick()).done[0].startswith("retired")

    assert "from the dashboard" in account.names() and account.takes(stack.key())
    assert stack.key() != {"api-key": key.secret}


def test_the_command_line_moves_it_without_showing_the_key(owned: AgentStack, account: DigitalOcean) -> None:
    done = owned.run("rotate", "agent-key")
    said, current = done.stdout + done.stderr, owned.kept().current
    assert account.token not in said and not any(key.secret in said for key in account.keys.values())
    assert done.returncode == 0, said
    assert current and key_of(current) in said and current.id in said


def test_a_purge_deletes_the_keys_at_the_agent_and_names_those_that_it_could_not(
    owned: AgentStack, account: DigitalOcean
) -> None:
    owned.rotate("agent-key")
    owned.rotate("agent-key")
    purge(owned.session(), destroy=True)
    assert ours(account) == []

    owned.put("agent-admin", dict(account.admin))
    owned.rotate("agent-key")
    (left,) = ours(account)
    account.scopes.remove("genai:delete")
    said = list[str]()
    purge(owned.session(), destroy=True, say=said.append)
    assert [left.partition("/")[2] in text for text in said] == [True]
    assert owned.kept().all == () and ours(account) == [left]
