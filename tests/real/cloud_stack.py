"""What tests do with a stack of any cloud: call its rotator, kill it at a moment, and edit by hand. The suites of
tests/gates know nothing else of AWS, Azure and Vault."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from tests.real.stack import Stack

Event = Mapping[str, str]  # The events of a cloud's rotator; without one it is the hourly tick.
Calls = tuple[tuple[type, str], ...]  # Methods, by class.
TICK: Event = {}


@dataclass(frozen=True)
class Attempt:
    """The calls of a cloud to its rotator for a new version of a secret."""

    events: tuple[Event, ...]
    again: tuple[Event, ...]  # The calls that resume an interrupted attempt.
    version: str = ""  # The id of the version, where the cloud chooses it.


@dataclass
class CloudStack(Stack, ABC):
    """A stack that other processes can unpickle, without the server side of its cloud."""

    writes: ClassVar[Calls]  # The requests of its store that write.
    reader: dict[str, str] = field(default_factory=dict)  # The environment of the server's account.
    lease_is_quick: ClassVar[bool] = True  # Whether a killed holder delays the next by a moment at most.

    @property
    @abstractmethod
    def source(self) -> str:
        """The launcher's --source."""

    @abstractmethod
    def rotation(self, name: str = "mqtt") -> Attempt:
        """Start the cloud's next rotation."""

    @abstractmethod
    def play(self, event: Event) -> None: ...

    @abstractmethod
    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        """Name a call as a moment. None for calls about the lease and those that are not always made."""

    @abstractmethod
    def is_leased(self) -> bool: ...

    def outlast(self) -> None:
        """Let the lease of a killed process expire, unless its successor waits for that."""

    @abstractmethod
    def values(self) -> dict[str, dict[str, str]]:
        """Return all that the cloud returns to authorized readers, by version."""

    @abstractmethod
    def shown(self) -> dict[str, bytes]:
        """Return all that the cloud shows without read access to values: names, labels, tags and its log."""


@dataclass
class TickedStack(CloudStack, ABC):
    """A stack whose rotator is `secretops tick`."""

    def rotation(self, name: str = "mqtt") -> Attempt:
        return Attempt(({"rotate": name},), (TICK,))

    def play(self, event: Event) -> None:
        if name := event.get("rotate"):
            self.rotate(name)
        elif failed := next((one.error for one in self.tick() if one.error), None):
            raise failed
