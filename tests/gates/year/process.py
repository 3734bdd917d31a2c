"""One run of a command in the simulated year: its access to the store, its effects, and its death."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from secretops.engine.journal import Entry
from secretops.operations.tick import Outcome
from tests.gates.year.plan import Blow
from tests.gates.year.store import AGAIN, Kept, StandInStore

if TYPE_CHECKING:
    from tests.gates.year.world import World

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
UNCOUNTED = ("lease", AGAIN)  # Writes of every tick, without consequence.


class Killed(BaseException):
    """SIGKILL: no handler of the product sees it, and a killed process does nothing more."""


@dataclass
class Process:
    name: str
    store: StandInStore
    dead: bool = False


@dataclass
class Journal:
    """The engine's journal, in memory."""

    entries: list[Entry] = field(default_factory=list)

    def write(self, entry: Entry) -> None:
        self.entries.append(entry)

    def last(self, secret: str) -> Entry | None:
        return next((entry for entry in reversed(self.entries) if entry.secret == secret), None)


class Desk:
    """The store (`Medium`) as a process accesses it, or as an oracle does."""

    def __init__(self, world: World) -> None:
        self._world = world

    def load(self, _what: str) -> Kept:
        world = self._world
        world.look("store")
        if world.acting:
            world.seen(world.acting.store.token)
        return world.kept

    def save(self, kept: Kept, what: str) -> None:
        def act() -> None:
            self._world.kept = kept

        if what.startswith(UNCOUNTED):
            self._world.look("store")
            act()
        else:
            self._world.effect("store", what, act)


@dataclass
class Blows:
    """The pending faults. Each occurs some number of changes after the one before."""

    armed: list[tuple[Blow, int]] = field(default_factory=list)

    def deal(self) -> Blow | None:
        if not self.armed:
            return None
        blow, left = self.armed.pop(0)
        if left:
            self.armed.insert(0, (blow, left - 1))
            return None
        return blow


def minutes_at(moment: datetime) -> int:
    return -int((EPOCH - moment).total_seconds() // 60)


def summary(outcome: Outcome) -> str:
    error = type(outcome.error).__name__ if outcome.error else ""
    return " ".join([outcome.exit_code.name, error, *outcome.reasons]).strip()
