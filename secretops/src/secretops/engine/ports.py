"""The ports of the engine: what a store, a target, an agent of API keys and an issuer of certificates can do.

Small on purpose: a new store is these twelve methods and a row in the contract suite.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from secretops.engine.state import Version, Versions
from secretops.errors import RefusedError, UnreachableError
from secretops.values import Value

if TYPE_CHECKING:
    from secretops.certificates import Signed


class VersionStore(Protocol):
    """Keeps the versions of secrets. Knows nothing of brokers, cadences or decisions.

    Every method may raise StoreError or UnreachableError. None leaves anything half-written.
    """

    def versions(self, secret: str) -> Versions:
        """The facts of every version kept. An unknown secret has none."""

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        """The value of one version. Raises NotFoundError. `purpose` goes to the access record."""

    def add(self, secret: str, version: Version, value: Value) -> None:
        """Keep a new pending version, in place of a pending one with another id. The same id again is a no-op."""

    def publish(self, secret: str, version: str, now: datetime) -> None:
        """Make `version` the current one and the old current the previous, and deliver it to the readers.

        The only method that moves *current*. Idempotent; called again after a crash it finishes the delivery.
        `now` becomes the version's `published` once readers can see it.
        """

    def recover(self, secret: str, now: datetime) -> None:
        """Finish what a crash cut short: a delivery, or a `forget`. No-op when there is none.

        Raises StoreError when somebody changed the delivered value by hand: that is for a person to decide.
        """

    def delivery_drift(self, secret: str) -> str | None:
        """In what way readers do not find the current version: edited, missing, not delivered yet. None when they do.

        Looks only; where that means reading a value, the access is recorded.
        """

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        """Record that a version logged in, or that the target no longer takes it (whose value is then forgotten)."""

    def discard(self, secret: str, version: str) -> None:
        """Forget a pending version and its value. No-op when it is gone."""

    def secret_names(self) -> tuple[str, ...]:
        """The secrets of which any version is kept, also those that the stack no longer has."""

    def forget(self, secret: str) -> None:
        """Remove every version of a secret and everything delivered of it. There is no way back."""

    def lease(self, holder: str) -> AbstractContextManager[None]:
        """Hold the right to rotate. Raises LeaseHeldError that names the holder. Ends with the process."""

    def confirm(self) -> None:
        """Raise StoreError when the lease is not ours any more: somebody has followed us while we were held up.

        Asked right before anything is changed outside the store, where no write is refused to who was followed: the
        answer is as fresh as the store can give it. No-op where a lease can't be lost, or is not held.
        """


class UserTakenError(RefusedError):
    """A user that should be a new one is there already, with a password that is not the credential's."""


class Target(Protocol):
    """The system that accepts a credential (here: one kind of user of an MQTT broker). Never a store.

    A credential is a Value with `username` and `password`. Every method may raise UnreachableError (no answer) or
    RefusedError (an answer, and it is no). Every method is idempotent.
    """

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the target accept `credential`, creating the user with its grants if need be.

        Touches that one user and no other. When the credential already works nothing is sent: setting even the same
        password again drops the user's live sessions on mosquitto.

        `new`: the user must not be there yet, because whoever has its password may be using it: raises UserTakenError,
        and nothing is changed. One whose password is already the credential's is fine: a rotation is resumed.
        """

    def verify(self, credential: Value) -> None:
        """Log in as `credential` and do what its reader will do. Raises RefusedError when it can't."""

    def retire(self, admin: Value, username: str) -> None:
        """Make every password of `username` that anybody knows worthless. A user that is gone is fine."""

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether each of `usernames`, and no other client, may publish where its servers report.

        False where the target has no access list that secretops writes and reads (docs/adr/0003).
        """


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


class Issuer(Protocol):
    """Signs a request. It is never shown a key."""

    def sign(self, request: str) -> Signed:
        """A certificate for `request`, a PEM. Asked again it may give another one, which nobody then uses.

        Raises UnreachableError, StoreError.
        """
