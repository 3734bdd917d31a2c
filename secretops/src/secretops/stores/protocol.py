"""What every store can do. Small on purpose: a new store is these twelve methods and a row in the contract suite."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import datetime
from typing import Protocol

from secretops.engine.state import Version, Versions
from secretops.values import Value


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

    def settle(self, secret: str, now: datetime) -> None:
        """Finish what a crash cut short: a delivery, or a `forget`. No-op when there is none.

        Raises StoreError when somebody changed the delivered value by hand: that is for a person to decide.
        """

    def astray(self, secret: str) -> str | None:
        """In what way readers do not find the current version: edited, missing, not delivered yet. None when they do.

        Looks only; where that means reading a value, the access is recorded.
        """

    def mark(
        self, secret: str, version: str, *, verified: datetime | None = None, retired: datetime | None = None
    ) -> None:
        """Record that a version logged in, or that the target no longer takes it (whose value is then forgotten)."""

    def discard(self, secret: str, version: str) -> None:
        """Forget a pending version and its value. No-op when it is gone."""

    def kept(self) -> tuple[str, ...]:
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
