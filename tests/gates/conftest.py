"""Stacks over real brokers, one a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from secretops.manifest import Broker
from secretops.values import Value
from tests.real.stack import Stack, make_stack


class MakeStack(Protocol):
    def __call__(self, target: str, delivery: str = "variables") -> Stack: ...


@pytest.fixture
def broker_of(request: pytest.FixtureRequest) -> Callable[[str], tuple[Broker, Value]]:
    """A running broker and its first admin, by its target's name: mosquitto (TLS, dynamic security) or coreflux."""

    def of(target: str) -> tuple[Broker, Value]:
        if target == "coreflux":
            embedded = request.getfixturevalue("embedded_broker")
            return embedded.broker(), embedded.admin
        mosquitto = request.getfixturevalue("mosquitto")
        return mosquitto.broker(), mosquitto.admin

    return of


@pytest.fixture
def stack_on(tmp_path: Path, broker_of: Callable[[str], tuple[Broker, Value]]) -> MakeStack:
    """A stack on the broker of a target, whose broker-admin has been put."""

    def on(target: str, delivery: str = "variables") -> Stack:
        broker, admin = broker_of(target)
        stack = make_stack(tmp_path / "store", broker, delivery=delivery)
        stack.put("broker-admin", dict(admin))
        return stack

    return on
