"""The commands of docs/operations/agent-key.md, run as they stand there, against a server of DigitalOcean's API."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from secretops.targets.digitalocean import API_VARIABLE
from tests.real.agent_stack import AgentStack, external_stack, owned_stack
from tests.real.digitalocean import DigitalOcean, digitalocean
from tests.real.stack import DEADLINE
from tests.stacks.runbook import OPERATIONS, blocks

pytestmark = [pytest.mark.real, pytest.mark.slow]
TESTED, UNTESTED, OWNED = blocks(OPERATIONS / "agent-key.md")


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        yield made


def follow(stack: AgentStack, block: str, *, given: str = "", code: int = 0) -> str:
    """Type a block. Gives what was said."""
    bin_ = Path(sys.executable).parent
    done = subprocess.run(
        ["bash", "-ec", block],
        env={**os.environ, "PATH": f"{bin_}:{os.environ['PATH']}", "SECRETOPS_MANIFEST": str(stack.file)},
        input=given,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == code, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def test_a_key_that_somebody_gave_is_tried_and_published(tmp_path: Path, account: DigitalOcean) -> None:
    stack = external_stack(tmp_path / "store", account)
    key = account.add("from the dashboard").secret
    assert "agent-key: tested, published as" in follow(stack, TESTED, given=key)
    assert stack.key() == {"api-key": key} and account.shown == [key]

    said = follow(stack, TESTED, given="of-another-agent", code=1)
    assert "does not take the key: HTTP 401" in said and "of-another-agent" not in said
    assert stack.key() == {"api-key": key}


def test_one_whose_agent_is_out_of_reach_is_published_untried(tmp_path: Path, account: DigitalOcean) -> None:
    stack = external_stack(tmp_path / "store", account)
    said = follow(stack, UNTESTED, given="of-an-agent-far-away")
    assert "agent-key: published as" in said and account.asked == []
    assert stack.key() == {"api-key": "of-an-agent-far-away"}


def test_keys_of_ones_own_agent_are_made_once_its_token_is_there(tmp_path: Path, account: DigitalOcean) -> None:
    stack = owned_stack(tmp_path / "store", account)
    stack.session().store.forget("agent-admin")
    assert "there is no agent-admin yet" in follow(stack, OWNED.splitlines()[1], code=5)

    said = follow(stack, OWNED, given=account.token)

    current = stack.kept().current
    assert current and current.user and account.ids() == [current.user] and account.takes(stack.key())
    assert f"the agent answers to key {current.user.partition('/')[2]}, published as" in said
    assert account.token not in said and stack.key()["api-key"] not in said
