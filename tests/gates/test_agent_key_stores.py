"""An agent's key on every kind of store: made, replaced though an answer was lost, and deleted after the grace."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from secretops.errors import SecretopsError
from secretops.manifest import AGENT_ADMIN, OwnedAgent, Reader, Secret, SecretKind
from secretops.values import Value
from tests.gates.conftest import MakeStack
from tests.real.digitalocean import DigitalOcean, Fault, digitalocean
from tests.real.stack import Stack

pytestmark = [pytest.mark.real, pytest.mark.slow]

PREFIX = "coreflux-mcp-" + "x" * 37
"""As long as the program makes one."""


@pytest.fixture
def account(monkeypatch: pytest.MonkeyPatch) -> Iterator[DigitalOcean]:
    with digitalocean() as made:
        monkeypatch.setenv("DIGITALOCEAN_API_URL", made.url)
        yield made


def owning(stack: Stack, account: DigitalOcean) -> Stack:
    """The stack with its agent key alone, whose agent is the account's. What makes its keys lies where client-cert
    would."""
    name, field = AGENT_ADMIN
    key = stack.manifest.secret("agent-key")
    agent = OwnedAgent(url=account.url, id=account.agent, prefix=PREFIX)
    admin = Secret(name=name, kind=SecretKind.SUPPLIED, fields=(field,), readers=(Reader.ROTATOR,), cadence_days=90)

    def moved(place: Any) -> Any:
        return {**place, name: place["client-cert"]} if isinstance(place, Mapping) and "client-cert" in place else place

    store: Any = stack.manifest.store
    places = {each: moved(getattr(store, each)) for each in ("secrets", "pending") if hasattr(store, each)}
    update = {
        "store": store.model_copy(update=places),
        "secrets": (admin, key.model_copy(update={"agent": agent})),
    }
    made = dataclasses.replace(stack, manifest=stack.manifest.model_copy(update=update))
    made.put(name, dict(account.admin))
    return made


def told(stack: Stack) -> list[SecretopsError]:
    return [one.error for one in stack.tick() if one.error]


def held(stack: Stack) -> tuple[Value, str]:
    """What readers get, and the id that the store has of it."""
    store = stack.session().store
    current = store.versions("agent-key").current
    assert current and current.published and current.verified and current.user
    assert store.astray("agent-key") is None
    return store.read("agent-key", current.id, purpose="test"), current.user


@pytest.mark.parametrize("delivery", ["variables", "aws", "azure", "vault"])
def test_an_agents_key_is_made_replaced_and_deleted_whatever_the_store(
    stack_on: MakeStack, account: DigitalOcean, delivery: str
) -> None:
    stack = owning(stack_on("mosquitto", delivery), account)
    assert told(stack) == []
    first, earlier = held(stack)
    assert account.takes(first) and account.ids() == [earlier]

    account.fail("create", Fault.BROKEN_AFTER)
    stack.rotate("agent-key")
    second, later = held(stack)
    assert account.takes(first) and account.takes(second) and account.ids() == sorted([earlier, later])

    stack.skip_grace()
    assert told(stack) == []
    assert held(stack) == (second, later) and account.ids() == [later]
    assert not account.takes(first) and account.takes(second)
