"""What an agent's API keys are made, looked for and deleted by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from secretops.errors import UnreachableError
from secretops.values import Value


class LostError(UnreachableError):
    """A key was asked for, and nobody knows whether it was made: no answer came, or none that has a key in it."""


@dataclass(frozen=True)
class NamedKey:
    """One key of an agent. Never its value: DigitalOcean shows that once, to whoever makes it."""

    agent: str
    """The id of the agent that it opens."""
    id: str
    name: str

    def __str__(self) -> str:
        """As a version says which one is its own. Names are no proof: a lost key has the same."""
        return f"{self.agent}/{self.id}"

    @classmethod
    def of(cls, told: str) -> NamedKey:
        """The one that `str` of it told of, but for its name."""
        agent, _, id = told.partition("/")
        return cls(agent, id, "")


class AgentKeys(Protocol):
    """The API keys of one agent, any number of which are good side by side. Never a store.

    Every method may raise UnreachableError (no answer, or none to be understood) or RefusedError (an answer, and it is
    no).
    """

    @property
    def id(self) -> str:
        """The agent's."""

    def listed(self) -> tuple[NamedKey, ...]:
        """All that there are now."""

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """A new key called `name`; asked again it makes one more of the same name. Raises LostError."""

    def delete(self, key: NamedKey) -> None:
        """Make it worthless, at once; also one of another agent of the same owner. One that is gone is fine."""

    def verify(self, credential: Value) -> None:
        """Ask the agent something, as its API has it. Raises RefusedError when it does not take the key."""
