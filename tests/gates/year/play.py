"""Simulate the year of a seed. Parts in memory replace the real ones, and all randomness comes from the seed."""

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

from secretops import certificates, values
from secretops.engine import agent_key
from secretops.manifest import SecretKind
from secretops.operations import broker_access, external_certificates, put, rotators, tick
from tests.gates.year.judge import Violation
from tests.gates.year.plan import Blow, Kind, Plan, drawn
from tests.gates.year.systems import StandInAgent, StandInTarget, prove, signed
from tests.gates.year.world import World


def play(plan: Plan, *, every_minute: bool = False) -> World:
    """Play the year to its end. Raises Violation."""
    world = World(plan, every_minute=every_minute)
    with _chance(world), _stand_ins(world):
        world.run()
    return world


@dataclass(frozen=True)
class Played:
    """The result of one year: its violation, and the count of each kind of line in its history."""

    violation: str | None
    befell: Counter[str]


def played(seed: int) -> Played:
    try:
        world = play(drawn(seed))
    except Violation as error:
        return Played(str(error), Counter())
    return Played(None, Counter(_kind(text) for _, text in world.history))


_KNOWN = {*map(str, Kind), *map(str, Blow)}


def _kind(text: str) -> str:
    first, _, last = text.partition(": ")
    return next((known for known in (first, last) if known in _KNOWN), " ".join(text.split()[:3]))


@contextmanager
def _chance(world: World) -> Iterator[None]:
    """Derive tokens and passwords from the seed and the year's progress: an idle retry draws the same again."""

    def token_hex(size: int) -> str:
        return hashlib.sha256(world.drawing().encode()).hexdigest()[: 2 * size]

    def choice(options: Sequence[str]) -> str:
        return options[int(token_hex(4), 16) % len(options)]

    with (
        mock.patch.object(secrets, "token_hex", token_hex),
        mock.patch.object(secrets, "choice", choice),
        mock.patch.object(values, "remember", lambda _text: None),  # no log is written that could have one
    ):
        yield


@contextmanager
def _stand_ins(world: World) -> Iterator[None]:
    def target(_broker: object, _kind: SecretKind) -> StandInTarget:
        return StandInTarget(world.broker, world)

    def agent(_agent: object, admin: Callable[[], Any]) -> StandInAgent:
        return StandInAgent(world.account, world, admin)

    def reports(_broker: object, value: Any, users: tuple[str, ...], *, deadline: float) -> Any:
        StandInTarget(world.broker, world).verify(value)
        return world.reports(users)

    with ExitStack() as patches:
        for module in (broker_access, put, rotators, tick):
            patches.enter_context(mock.patch.object(module, "open_target", target))
        for module in (rotators, put):
            patches.enter_context(mock.patch.object(module, "open_agent", agent))
        patches.enter_context(mock.patch.object(broker_access, "read_reports", reports))
        patches.enter_context(
            mock.patch.object(rotators, "prove", lambda _m, _s, _v, value: prove(world.broker, world, value))
        )
        patches.enter_context(mock.patch.object(certificates, "has_signed", signed))  # two are often requested
        patches.enter_context(mock.patch.object(agent_key, "VERIFY_PAUSES", (0.0,)))
        patches.enter_context(mock.patch.object(external_certificates, "_of_broker", lambda _session: ()))
        yield
