"""What a stack of any cloud can have done to it: how the cloud calls its rotator, where that can be stopped, what a
person changes by hand. The suites of tests/gates know no more of AWS, Azure and Vault than this."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Self

from tests.real.stack import Stack

Event = Mapping[str, str]
"""What a cloud gives to its rotator: no more is an hourly tick's."""

Calls = tuple[tuple[type, str], ...]
"""Methods, by their classes."""

TICK: Event = {}

PREPARED, PUBLISHED, RETIRED = "what is prepared", "what is published", "that a user is retired"
"""The writes of which others depend."""


@dataclass(frozen=True)
class Attempt:
    """What a cloud has its rotator do for a new version of a secret, one call after the other."""

    events: tuple[Event, ...]
    again: tuple[Event, ...]
    """And what about one that ended in the middle."""
    version: str = ""
    """The id of the version, where the cloud chooses it."""


@dataclass(frozen=True)
class Stall:
    """How a process comes to stop in the middle of a write: doing `event`, at the moment `at` of `calls`."""

    event: Event
    calls: Calls
    at: int | str
    arm: Callable[[], None] = lambda: None
    """Called before it starts."""


@dataclass
class CloudStack(Stack, ABC):
    """One that goes to other processes, too, where a cloud's own side of it is not."""

    writes: ClassVar[Calls]
    """The requests of its store that change something."""
    reads: ClassVar[Calls]
    """Those that give a value."""
    refusals: ClassVar[tuple[type[Exception], ...]]
    """What `play` raises, that the cloud is told."""
    reader: dict[str, str] = field(default_factory=dict)
    """The environment of whoever the server runs as."""
    lease_is_quick: ClassVar[bool] = True
    """Whether a holder that is killed costs the next one no more than a moment."""

    @property
    @abstractmethod
    def source(self) -> str:
        """What the launcher is told to take its values from."""

    @abstractmethod
    def rotation(self, name: str = "mqtt") -> Attempt:
        """The cloud's next one. What it begins with has been done when this returns."""

    @abstractmethod
    def at_once(self) -> list[Attempt]:
        """Calls that may come at the same time, of which mqtt and broker-admin get one new version each."""

    @abstractmethod
    def taking_turns(self) -> AbstractContextManager[Self]:
        """The same stack, for several processes: its store takes one request after the other."""

    @abstractmethod
    def play(self, event: Event) -> None:
        """Do what the cloud calls with `event`. Raises one of `refusals`."""

    @abstractmethod
    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        """How a call is called. None for one that is not to count: about the lease, or not made each time."""

    @abstractmethod
    def stalls(self) -> dict[str, Stall]:
        """Where a writer may stop and be followed, by the name of what it writes."""

    @abstractmethod
    def is_leased(self) -> bool:
        """Whether somebody holds the lease."""

    @abstractmethod
    def outlast(self) -> None:
        """Let the lease of a process end that was killed or stopped, if its follower does not wait for that."""

    @abstractmethod
    def share_time(self) -> None:
        """Let as much time pass in this process."""

    @abstractmethod
    def values(self) -> dict[str, dict[str, str]]:
        """All that the cloud gives to who may read them, by version."""

    @abstractmethod
    def shown(self) -> dict[str, bytes]:
        """What the cloud shows to who may read no value: names, labels, tags, its log; by what it is."""


@dataclass
class TickedStack(CloudStack, ABC):
    """One whose rotator is `secretops tick`, whatever starts it."""

    def rotation(self, name: str = "mqtt") -> Attempt:
        """An operator's command. What it left in the middle the next tick ends."""
        return Attempt(({"rotate": name},), (TICK,))

    def at_once(self) -> list[Attempt]:
        """Three ticks, as a schedule, a version near its end and a person start them. All is due."""
        due = max(timedelta(days=secret.cadence_days or 0) for secret in self.manifest.secrets)
        self.clock.skip(due.total_seconds())
        return [Attempt((TICK,), (TICK,))] * 3

    def taking_turns(self) -> AbstractContextManager[Self]:
        return nullcontext(self)

    def play(self, event: Event) -> None:
        if name := event.get("rotate"):
            self.rotate(name)
        elif failed := next((one.error for one in self.tick() if one.error), None):
            raise failed
