"""The ports of the engine: a version store, a broker target, an agent's API keys and a certificate issuer."""

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
    """Stores the versions of secrets. A new store implements these twelve methods and passes the contract suite.

    Every method may raise StoreError or UnreachableError, and writes completely or not at all. Each write is a
    compare-and-swap that fails once the lease is lost, so that a rotator reads the versions only once.
    """

    def versions(self, secret: str) -> Versions:
        """Return all stored versions; none for an unknown secret."""

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        """Return the value of a version. `purpose` goes to the access record. Raises NotFoundError."""

    def add(self, secret: str, version: Version, value: Value) -> None:
        """Store a pending version, replacing another pending one. The same id again is a no-op."""

    def publish(self, secret: str, version: str, now: datetime) -> None:
        """Make `version` current and the old current previous, and deliver it to the readers.

        The only method that changes the current version. Idempotent: after a crash it finishes the delivery. `now`
        becomes `published` once readers can see the version.
        """

    def recover(self, secret: str, now: datetime) -> None:
        """Finish a delivery or a `forget` that a crash interrupted.

        Raises StoreError if the delivered value was edited: a person decides about it.
        """

    def delivery_drift(self, secret: str) -> str | None:
        """Return how the delivered value differs from the current version (edited, missing, not delivered), or None.

        Records the access where it has to read a value.
        """

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        """Record that a version logged in, or that the target refuses it now; a retired value is deleted."""

    def discard(self, secret: str, version: str) -> None:
        """Delete a pending version and its value. No-op if it is gone."""

    def secret_names(self) -> tuple[str, ...]:
        """Return the secrets with a stored version, including those that left the stack."""

    def forget(self, secret: str) -> None:
        """Delete every version of a secret and all that was delivered. Irreversible."""

    def lease(self, holder: str) -> AbstractContextManager[None]:
        """Hold the right to rotate, until the process ends at the latest. Raises LeaseHeldError with the holder."""

    def confirm(self) -> None:
        """Raise StoreError if another process took over the lease. No-op without a lease.

        Called right before each change outside of the store, by the freshest answer that the store has.
        """


class UserTakenError(RefusedError):
    """A user that should be new exists already, with another password than the credential's."""


class Target(Protocol):
    """The broker that accepts a credential, for one kind of MQTT user.

    A credential is a Value with `username` and `password`. Every method is idempotent, and may raise UnreachableError
    (no answer) or RefusedError.
    """

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the target accept `credential`. Creates the user with its grants if needed, and changes no other user.

        Sends nothing if the credential works already: mosquitto ends a user's sessions even for the same password.
        `new`: raise UserTakenError, and change nothing, if the user exists with another password.
        """

    def verify(self, credential: Value) -> None:
        """Log in as `credential` and do what its reader does. Raises RefusedError."""

    def retire(self, admin: Value, username: str) -> None:
        """Make every known password of `username` worthless. No-op for a user that is gone."""

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return True if each of `usernames`, and no other client, may publish the reports of its servers.

        False where secretops manages no access list of the target (docs/adr/0003).
        """


class UnknownOutcomeError(UnreachableError):
    """It is unknown whether a requested key was created: no answer, or one without a key."""


@dataclass(frozen=True)
class NamedKey:
    """One key of an agent, without its value: DigitalOcean shows that once."""

    agent: str
    id: str
    # Not unique: a lost key has the same name.
    name: str

    def __str__(self) -> str:
        """Return what `Version.user` records of it."""
        return f"{self.agent}/{self.id}"

    @classmethod
    def of(cls, recorded: str) -> NamedKey:
        """Return the key that a version records, without its name."""
        agent, _, id = recorded.partition("/")
        return cls(agent, id, "")


class AgentKeys(Protocol):
    """The API keys of one agent, which accepts any number of them.

    Every method may raise UnreachableError (no answer, or an unreadable one) or RefusedError.
    """

    @property
    def id(self) -> str: ...

    def list_keys(self) -> tuple[NamedKey, ...]: ...

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """Create a key; a second call creates another of the same name. Raises UnknownOutcomeError."""

    def delete(self, key: NamedKey) -> None:
        """Revoke a key at once, also of another agent of the same owner. No-op if it is gone."""

    def verify(self, credential: Value) -> None:
        """Send the agent a request with the key. Raises RefusedError."""


class Issuer(Protocol):
    """Signs certificate requests. It never sees a private key."""

    def sign(self, request: str) -> SignedCertificate:
        """Return a certificate for `request`, a PEM. Each call may return another, of which one is used.

        Raises UnreachableError, StoreError.
        """
