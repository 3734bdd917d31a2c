"""What doctor tells of the stack's agent, by a server that speaks DigitalOcean's documented API."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops.operations.doctor import doctor, mend
from secretops.operations.doctor.agent import agent_checks
from secretops.operations.doctor.check import Level, Result
from secretops.targets.digitalocean import API_VARIABLE
from tests.real.agent_stack import AgentStack, external_stack, owned_stack
from tests.real.digitalocean import DigitalOcean, Fault, digitalocean

pytestmark = pytest.mark.real


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        yield made


def found(stack: AgentStack) -> Result:
    ((name, result),) = doctor(agent_checks(stack.session()))
    assert name == "agent"
    return result


def test_a_key_of_ours_that_is_there_is_well_and_costs_no_answer(tmp_path: Path, account: DigitalOcean) -> None:
    stack = owned_stack(tmp_path / "store", account)
    stack.rotate("agent-key")
    account.shown.clear()
    assert found(stack).level is Level.OK and account.shown == []


def test_one_that_somebody_deleted_and_one_that_a_crash_left_are_told_and_mended(
    tmp_path: Path, account: DigitalOcean
) -> None:
    stack = owned_stack(tmp_path / "store", account)
    stack.rotate("agent-key")
    late = account.add(account.names()[0])
    told = found(stack)
    assert told.level is Level.ATTENTION and late.id in told.value
    assert told.repair and not isinstance(mend(told.repair), Exception)
    assert late.id not in account.keys and found(stack).level is Level.OK

    account.delete(account.ids()[0])
    told = found(stack)
    assert told.level is Level.ATTENTION and "any more" in told.value
    assert told.repair and not isinstance(mend(told.repair), Exception)
    assert account.takes(stack.key()) and found(stack).level is Level.OK


def test_a_key_that_its_owner_took_back_is_told(tmp_path: Path, account: DigitalOcean) -> None:
    stack = external_stack(tmp_path / "store", account)
    assert found(stack).level is Level.OK
    stack.put("agent-key", {"api-key": account.add("from the dashboard").secret})
    assert found(stack).level is Level.OK
    account.fail("complete", Fault.GARBAGE_AFTER)
    assert found(stack).level is Level.UNKNOWN

    account.delete(account.ids()[0])
    told = found(stack)
    assert told.level is Level.ATTENTION and "does not take the key" in told.value and told.repair is None
    assert stack.key()["api-key"] not in str(told)
