"""Ports of the engine: a version store, a broker target, an agent's API keys and a certificate issuer."""

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
    """The versions of a stack's secrets. A new store implements these twelve methods, and must pass the contract suite.

    Every method may raise StoreError or UnreachableError. A write changes everything or nothing, never overwrites a
    change that it has not read, and fails if the lease is lost.
    """

    def versions(self, secret: str) -> Versions: ...

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        """Return a version's value. `purpose` is for the store's record of accesses. Raises NotFoundError."""

    def add(self, secret: str, version: Version, value: Value) -> None:
        """Store a pending version, and replace any other pending version. Does nothing if `version.id` is stored
        already."""

    def publish(self, secret: str, version: str, now: datetime) -> None:
        """Make `version` current, make the old current version previous, and deliver `version`.

        Idempotent: after a crash, a further call finishes the delivery. Records `now` as `published` once readers can
        see the version.
        """

    def recover(self, secret: str, now: datetime) -> None:
        """Finish a delivery or a `forget` that was interrupted. Raises StoreError if somebody edited the delivered
        value."""

    def delivery_drift(self, secret: str) -> str | None:
        """Return how the delivered value differs from the current version, or None. Records the access as a read."""

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        """Record when a version was verified or retired. Recording `retired` deletes the version's value."""

    def discard(self, secret: str, version: str) -> None:
        """Delete a pending version and its value. Does nothing if it is gone."""

    def secret_names(self) -> tuple[str, ...]:
        """Return the names of secrets that have a version, including those removed from the stack."""

    def forget(self, secret: str) -> None:
        """Delete every version of a secret, and its delivered value. Irreversible."""

    def lease(self, holder: str) -> AbstractContextManager[None]:
        """Hold the store's lease during the block. A rotation requires it. A killed process loses the lease. Raises
        LeaseHeldError."""

    def confirm(self, secret: str | None = None, previous: str | None = None) -> None:
        """Raise StoreError if the lease was lost, or `previous` was replaced. Call it before changes elsewhere."""


class UserTakenError(RefusedError):
    """The user to create exists already, and has another password."""


class Target(Protocol):
    """The broker, as the target of one kind of user: the servers' or the admin's. A credential is `username` and
    `password`.

    Every method is idempotent, and may raise UnreachableError (no answer) or RefusedError.
    """

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the target accept `credential`, and create the user with the required rights if it is missing. Changes
        no other user.

        Does not set a password that already works: mosquitto would end the user's sessions. With `new`, raises
        UserTakenError if the user exists with another password.
        """

    def verify(self, credential: Value) -> None:
        """Log in, and use the rights that a reader needs. Raises RefusedError if the login or a right is refused."""

    def retire(self, admin: Value, username: str) -> None:
        """Invalidate every known password of a user. Does nothing if the user is gone."""

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether, for each of `usernames`, the broker permits only that user to publish reports of its servers
        (docs/adr/0003)."""


class UnknownOutcomeError(UnreachableError):
    """No usable answer to a request for a key. The key may exist."""


@dataclass(frozen=True)
class NamedKey:
    """An agent's key without its value, which DigitalOcean shows only once."""

    agent: str
    id: str
    # Not unique: a lost key has the same name.
    name: str

    def __str__(self) -> str:
        return f"{self.agent}/{self.id}"

    @classmethod
    def of(cls, recorded: str) -> NamedKey:
        agent, _, id = recorded.partition("/")
        return cls(agent, id, "")


class AgentKeys(Protocol):
    """The API keys of one agent. Methods may raise UnreachableError or RefusedError."""

    @property
    def id(self) -> str: ...

    def list_keys(self) -> tuple[NamedKey, ...]: ...

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """Create a key. Another key may have the same name. Raises UnknownOutcomeError."""

    def delete(self, key: NamedKey) -> None:
        """Revoke a key of this agent, or of another agent of its owner. Does nothing if the key is gone."""

    def verify(self, credential: Value) -> None: ...


class Issuer(Protocol):
    """Signs certificate requests. It never receives a private key."""

    def sign(self, request: str) -> SignedCertificate:
        """Return a certificate for `request` (PEM). Raises UnreachableError, StoreError."""
