"""What moves a secret to its next value, whoever makes that; and the one that has the least to do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from secretops.engine.decisions import renewal_at
from secretops.engine.issued_ids import issued_otherwise
from secretops.engine.ports import VersionStore
from secretops.engine.state import Version
from secretops.errors import SecretopsError
from secretops.manifest import Secret


class Mover(Protocol):
    """Moves one secret. Call it under the store's lease. Every step is idempotent.

    Both may raise what the steps raise: RefusedError, UnreachableError, StoreError.
    """

    def advance(self, *, cut_off: bool = False) -> Version:
        """Finish the pending version, or make a new one, and publish it. Gives the version that is now current.

        `cut_off`: without regard for the readers of the version before, where anybody has to wait for them.
        """

    def retire(self, version: Version) -> None:
        """Make a version that was replaced worthless, and have its value forgotten."""


class Handover:
    """Moves a secret whose values an operator supplies: what a `put` that was cut short left is published.

    What could be tested of it was, before it became pending, unless they said not to.
    """

    def __init__(self, secret: Secret, *, store: VersionStore, clock: Callable[[], datetime]) -> None:
        self._secret, self._store, self._clock = secret, store, clock

    def advance(self, *, cut_off: bool = False) -> Version:  # noqa: ARG002 - it cuts nobody off
        """Publish the pending version. Raises SecretopsError where there is none: secretops makes no value of it."""
        version = self._store.versions(self._secret.name).pending
        if version is None:
            raise SecretopsError(f"{self._secret.name}: nothing to finish")
        self._store.publish(self._secret.name, version.id, self._clock())
        return version

    def retire(self, version: Version) -> None:
        """Forget its value. Whoever supplied it takes it back where it is accepted."""
        self._store.mark(self._secret.name, version.id, retired=self._clock())


def pending_in_time(store: VersionStore, secret: Secret, now: datetime) -> Version | None:
    """Return the pending version of what ends by itself, or None.

    One that is due already, or was issued under settings that have changed, is discarded.
    """
    version = store.versions(secret.name).pending
    due = renewal_at(version) if version else None
    if version and ((due and due <= now) or (secret.issuer and issued_otherwise(version.id, secret.issuer))):
        store.discard(secret.name, version.id)
        return None
    return version
