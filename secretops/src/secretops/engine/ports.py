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
    """A new store implements these twelve methods and passes the contract suite.

    Every method may raise StoreError or UnreachableError. A write is complete or absent, compares the store with what
    was read, and fails once the lease is lost.
    """

    def versions(self, secret: str) -> Versions: ...

    def read(self, secret: str, version: str, *, purpose: str) -> Value:
        """Return a value. `purpose` goes to the access record. Raises NotFoundError."""

    def add(self, secret: str, version: Version, value: Value) -> None:
        """Store a pending version in place of any other. No-op if its id is stored already."""

    def publish(self, secret: str, version: str, now: datetime) -> None:
        """Make `version` current and the old current previous, and deliver it.

        Idempotent: after a crash it finishes the delivery. `now` becomes `published` once readers can see the version.
        """

    def recover(self, secret: str, now: datetime) -> None:
        """Finish an interrupted delivery or `forget`. Raises StoreError if somebody edited the delivered value."""

    def delivery_drift(self, secret: str) -> str | None:
        """Return how the delivered value differs from the current version, or None. Records a read."""

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        """Record when a version logged in, or was retired, which deletes its value."""

    def discard(self, secret: str, version: str) -> None:
        """Delete a pending version and its value. No-op if it is gone."""

    def secret_names(self) -> tuple[str, ...]:
        """Return secrets with a version, including those removed from the stack."""

    def forget(self, secret: str) -> None:
        """Delete every version and the delivered value. Irreversible."""

    def lease(self, holder: str) -> AbstractContextManager[None]:
        """Acquire the right to rotate, which ends with the process at the latest. Raises LeaseHeldError."""

    def confirm(self) -> None:
        """Raise StoreError if the lease was lost. Call it before each change outside of the store."""


class UserTakenError(RefusedError):
    """The user to create exists already, with another password than the credential's."""


class Target(Protocol):
    """The broker that accepts a credential (`username` and `password`), for one kind of MQTT user.

    Every method is idempotent, and may raise UnreachableError (no answer) or RefusedError.
    """

    def apply(self, admin: Value, credential: Value, *, new: bool = False) -> None:
        """Make the target accept `credential`; create its user with grants if needed. Change no other user.

        Sends nothing for a working credential: mosquitto ends sessions even for the same password. `new`: raise
        UserTakenError for an existing user with another password.
        """

    def verify(self, credential: Value) -> None:
        """Log in and do what the reader does. Raises RefusedError."""

    def retire(self, admin: Value, username: str) -> None:
        """Invalidate every known password of a user. No-op if the user is gone."""

    def guards_reports(self, admin: Value, usernames: Sequence[str]) -> bool:
        """Return whether only `usernames` may publish their servers' reports, by the broker's access list
        (docs/adr/0003)."""


class UnknownOutcomeError(UnreachableError):
    """There was no usable answer. The requested key may exist."""


@dataclass(frozen=True)
class NamedKey:
    """A key without its value, which DigitalOcean shows only once."""

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
    """The API keys of one agent, which accepts any number. Methods may raise UnreachableError or RefusedError."""

    @property
    def id(self) -> str: ...

    def list_keys(self) -> tuple[NamedKey, ...]: ...

    def create(self, name: str) -> tuple[NamedKey, Value]:
        """Create a key, even if the name is taken. Raises UnknownOutcomeError."""

    def delete(self, key: NamedKey) -> None:
        """Revoke a key at once, of any agent of the same owner. No-op if it is gone."""

    def verify(self, credential: Value) -> None: ...


class Issuer(Protocol):
    """Signs requests. Never sees a private key."""

    def sign(self, request: str) -> SignedCertificate:
        """Return a certificate for `request` (PEM). Raises UnreachableError, StoreError."""
