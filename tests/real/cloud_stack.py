"""What a stack of any cloud can have done to it: how the cloud calls its rotator, where that can be killed, what a
person changes by hand. The suites of tests/gates know no more of AWS, Azure and Vault than this.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.real.stack import Stack

Event = Mapping[str, str]  # What a cloud gives to its rotator: no more is an hourly tick's.
Calls = tuple[tuple[type, str], ...]  # Methods, by their classes.
TICK: Event = {}


@dataclass(frozen=True)
class Attempt:
    """What a cloud has its rotator do for a new version of a secret, one call after the other."""

    events: tuple[Event, ...]
    again: tuple[Event, ...]  # And what about one that ended in the middle.
    version: str = ""  # The id of the version, where the cloud chooses it.


@dataclass
class CloudStack(Stack, ABC):
    """One that goes to other processes, too, where a cloud's own side of it is not."""

    writes: ClassVar[Calls]  # The requests of its store that change something.
    reader: dict[str, str] = field(default_factory=dict)  # The environment of whoever the server runs as.
    lease_is_quick: ClassVar[bool] = True  # Whether a holder that is killed costs the next one no more than a moment.

    @property
    @abstractmethod
    def source(self) -> str:
        """What the launcher is told to take its values from."""

    @abstractmethod
    def rotation(self, name: str = "mqtt") -> Attempt:
        """The cloud's next one. What it begins with has been done when this returns."""

    @abstractmethod
    def play(self, event: Event) -> None:
        """Do what the cloud calls with `event`."""

    @abstractmethod
    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        """How a call is called. None for one that is not to count: about the lease, or not made each time."""

    @abstractmethod
    def is_leased(self) -> bool:
        """Whether somebody holds the lease."""

    def outlast(self) -> None:
        """Let the lease of a killed process end, unless its follower waits for that."""

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
        return Attempt(({"rotate": name},), (TICK,))

    def play(self, event: Event) -> None:
        if name := event.get("rotate"):
            self.rotate(name)
        elif failed := next((one.error for one in self.tick() if one.error), None):
            raise failed
