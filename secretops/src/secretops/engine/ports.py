"""The ports of the engine: a store, a target, an agent of API keys and an issuer of certificates.

A new store is these twelve methods and a row in the contract suite.
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
    from secretops.certificates import SignedCertificate


class VersionStore(Protocol):
    """Keeps the versions of secrets. Knows nothing of brokers, cadences or decisions.

    Every method may raise StoreError or UnreachableError. None leaves anything half-written. Each write compares the
    store with what it expects, and is refused once the lease is lost: so a rotator reads the versions only once.
    """

    def versions(self, secret: str) -> Versions:
        """Return every version kept. An unknown secret has none."""

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        """Return the value of a version. `purpose` goes to the access record. Raises NotFoundError."""

    def add(self, secret: str, version: Version, value: Value) -> None:
        """Keep a new pending version, in place of a pending one with another id. The same id again is a no-op."""

    def publish(self, secret: str, version: str, now: datetime) -> None:
        """Make `version` the current one and the old current the previous, and deliver it to the readers.

        The only method that moves *current*. Idempotent; called again after a crash it finishes the delivery.
        `now` becomes the version's `published` once readers can see it.
        """

    def recover(self, secret: str, now: datetime) -> None:
        """Finish a delivery or a `forget` that a crash interrupted. No-op when there is none.

        Raises StoreError if the delivered value was edited: a person decides about it.
        """

    def delivery_drift(self, secret: str) -> str | None:
        """Return how readers miss the current version (edited, missing, not delivered yet), or None.

        Changes nothing. Where that takes reading a value, the access is recorded.
        """

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        """Record that a version logged in, or that the target refuses it now; then its value is forgotten."""

    def discard(self, secret: str, version: str) -> None:
        """Forget a pending version and its value. No-op if it is gone."""

    def secret_names(self) -> tuple[str, ...]:
        """Return the secrets of which any version is kept, also those that left the stack."""

    def forget(self, secret: str) -> None:
        """Remove every version of a secret and everything delivered of it. There is no way back."""

    def lease(self, holder: str) -> AbstractContextManager[None]:
        """Hold the right to rotate. Ends with the process. Raises LeaseHeldError that names the holder."""

    def confirm(self) -> None:
        """Raise StoreError if the lease was lost: another process took it over while this one was held up.

        Called right before a change outside the store, which nothing else refuses to a process without the lease. As
        fresh as the store can answer. No-op where a lease can't be lost, or is not held.
        """


class UserTakenError(RefusedError):
    """A user that should be new exists already, with a password that is not the credential's."""


class Target(Protocol):
    """The system that accepts a credential: one kind of user of an MQTT broker. Never a store.

    A credential is a Value with `username` and `password`. Every method is idempotent, and may raise UnreachableError
    (no answer) or RefusedError.
    """

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the target accept `credential`, creating the user with its grants if need be.

        Touches no other user. Sends nothing if the credential works already: on mosquitto even the same password again
        ends the user's sessions.

        `new`: raise UserTakenError if the user exists, because somebody may be using it, and change nothing. One whose
        password is the credential's is fine: a rotation is resumed.
        """

    def verify(self, credential: Value) -> None:
        """Log in as `credential` and do what its reader will do. Raises RefusedError."""

    def retire(self, admin: Value, username: str) -> None:
        """Make every known password of `username` worthless. A user that is gone is fine."""

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether each of `usernames`, and no other client, may publish where its servers report.

        False where the target has no access list that secretops writes and reads (docs/adr/0003).
        """


class UnknownOutcomeError(UnreachableError):
    """It is unknown whether a requested key was made: no answer came, or one without a key."""


@dataclass(frozen=True)
class NamedKey:
    """One key of an agent. Never its value: DigitalOcean shows that once, when it is made."""

    # The id of the agent that it opens.
    agent: str
    id: str
    # No proof of what it is: a lost key has the same name.
    name: str

    def __str__(self) -> str:
        """Return what a version records as its key."""
        return f"{self.agent}/{self.id}"

    @classmethod
    def of(cls, recorded: str) -> NamedKey:
        """Return the key that a version records, without its name."""
        agent, _, id = recorded.partition("/")
        return cls(agent, id, "")


class AgentKeys(Protocol):
    """The API keys of one agent, any number of which are good side by side. Never a store.

    Every method may raise UnreachableError (no answer, or an unreadable one) or RefusedError.
    """

    @property
    def id(self) -> str:
        """The id of the agent."""

    def list_keys(self) -> tuple[NamedKey, ...]:
        """Return all keys."""

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """Make a key called `name`; called again it makes another of the same name. Raises UnknownOutcomeError."""

    def delete(self, key: NamedKey) -> None:
        """Make a key worthless at once; also one of another agent of the same owner. One that is gone is fine."""

    def verify(self, credential: Value) -> None:
        """Send the agent a request, as its API has it. Raises RefusedError if it refuses the key."""


class Issuer(Protocol):
    """Signs a request. It never sees a key."""

    def sign(self, request: str) -> SignedCertificate:
        """Return a certificate for `request`, a PEM. Called again it may return another, which nobody then uses.

        Raises UnreachableError, StoreError.
        """
