"""`secretops compromise` of what is no broker user: an agent's key, a certificate, and the CA that signed it."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from secretops.errors import ExitCode
from secretops.operations.compromise.advice import tried
from secretops.targets.digitalocean import API_VARIABLE
from secretops.values import Value
from tests.real.agent_stack import owned_stack
from tests.real.digitalocean import DigitalOcean, digitalocean
from tests.real.own_ca import AUTHORITY, CERTIFICATE, Certified, begun, make_certified, trusting_broker
from tests.real.stack import Stack

pytestmark = pytest.mark.real


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv(API_VARIABLE, made.url)
        yield made


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Certified]:
    """A CA that the broker trusts, a certificate, an admin and the server's user."""
    with trusting_broker(tmp_path / "broker") as broker:
        yield begun(make_certified(tmp_path, broker))


def compromised(stack: Stack, name: str, folder: Path, *, given: str = "") -> tuple[int, str, dict[str, Any]]:
    """Exit code, all that was said, and the latest incident. No value is in any of it."""
    done = stack.run("compromise", name, "--yes", "--to", str(folder), given=given)
    path = max(folder.glob(f"incident-{name}-*.json"))
    said = done.stdout + done.stderr + path.read_text() + path.with_suffix(".md").read_text()
    store = stack.session().store
    for version in store.versions(name).living:
        value = store.read(name, version.id, purpose="test")
        assert not [field for field in ("api-key", "client.key", "ca.key") if value.get(field, "-" * 9) in said]
    return done.returncode, done.stdout + done.stderr, json.loads(path.read_text())


def test_keys_of_an_agent_of_ones_own_are_deleted_and_refused_and_a_new_one_is_all_that_is_left(
    tmp_path: Path, account: DigitalOcean
) -> None:
    """The one in use, and the one before it, whose grace is not over; and the agent hears of it a moment later."""
    stack = owned_stack(tmp_path / "store", account)
    stack.tick()
    first = stack.key()
    stack.rotate("agent-key")
    second = stack.key()
    assert account.takes(first)
    assert account.takes(second)
    account.still = 1
    code, said, incident = compromised(stack, "agent-key", tmp_path)
    assert code == ExitCode.ATTENTION, said
    assert [account.takes(value) for value in (first, second, stack.key())] == [False, False, True]
    assert len(account.names()) == 1
    assert said.count("the agent refuses the key") == 2
    assert list(incident["left"]) == ["replace", "readers"]
    assert incident["ended"]


@pytest.mark.slow
def test_a_certificate_of_the_stacks_own_ca_is_replaced_and_a_new_ca_ends_what_was_out(
    certified: Certified, tmp_path: Path
) -> None:
    stack, folder = certified.stack, tmp_path / "incidents"
    folder.mkdir()
    out: Value = certified.read(CERTIFICATE)
    code, said, incident = compromised(stack, AUTHORITY, folder)
    assert code == ExitCode.ATTENTION, said
    assert "secretops trust" in said
    assert not incident["ended"], "the broker does not trust the new one yet"
    assert certified.takes(out)
    certified.trust()
    code, said, incident = compromised(stack, AUTHORITY, folder)
    assert code == ExitCode.ATTENTION, said
    assert incident["ended"]
    assert "secretops compromise client-cert" in incident["left"]["replace"][0]
    code, said, incident = compromised(stack, CERTIFICATE, folder)
    assert code == ExitCode.ATTENTION, said
    assert incident["out"][0]["serial"] in incident["left"]["replace"][0]
    assert certified.read(CERTIFICATE) != out
    assert certified.log_in() == "Success"
    session, certificate = stack.session(), stack.manifest.secret(CERTIFICATE)
    certified.trust()
    certified.broker.stop()
    assert certified.broker.start()
    assert not certified.takes(out)
    assert certified.log_in() == "Success"
    told = functools.partial(tried, session, certificate, "what-was-out", out, sleep=lambda _: None)
    assert told()[1], "the broker takes the new one, and the old one no more"
    certified.broker.stop()
    assert not told()[1], "who speaks to nobody refuses nothing"
