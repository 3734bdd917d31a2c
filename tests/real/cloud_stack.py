"""A stack of any cloud, for tests that call its rotator, kill it at a moment, and edit values by hand. The suites of
tests/gates use AWS, Azure and Vault only through this interface."""

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
    """The calls with which a cloud makes its rotator create a new version of a secret."""

    events: tuple[Event, ...]
    again: tuple[Event, ...]  # The calls that resume an interrupted attempt.
    version: str = ""  # The id of the version, where the cloud chooses it.


@dataclass
class CloudStack(Stack, ABC):
    """A stack of a cloud. Other processes can unpickle it, without the server side of the cloud."""

    writes: ClassVar[Calls]  # The requests of its store that write.
    reader: dict[str, str] = field(default_factory=dict)  # The environment of the server's account.
    lease_is_quick: ClassVar[bool] = True  # Whether a killed holder delays the next by a moment at most.

    @property
    @abstractmethod
    def source(self) -> str:
        """Return the launcher's source, for --from."""

    @abstractmethod
    def rotation(self, name: str = "mqtt") -> Attempt:
        """Start the cloud's next rotation."""

    @abstractmethod
    def play(self, event: Event) -> None: ...

    @abstractmethod
    def moment(self, name: str, args: tuple[Any, ...], named: Mapping[str, Any]) -> str | None:
        """Return a call's name as a moment, or None for calls about the lease and calls that are not always made."""

    @abstractmethod
    def is_leased(self) -> bool: ...

    def outlast(self) -> None:
        """Let the lease of a killed process expire, unless the next process waits for that itself."""

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
