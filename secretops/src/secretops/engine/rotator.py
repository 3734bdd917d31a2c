"""What all rotations share: facts that are read once, a journal entry for each step, and the order of the steps.

A rotator reads the versions of its secret once. After that it changes its copy as each write changes the store. The
copy gives no right to act: the store compares before it writes, and `store.confirm` precedes each change of a target.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from functools import cached_property, partial

from secretops.engine.decisions import Facts, grace_of, grace_over, issued_otherwise, renewal_at
from secretops.engine.journal import DONE, Entry, Journal
from secretops.engine.ports import VersionStore
from secretops.engine.state import Version, Versions
from secretops.errors import SecretopsError
from secretops.manifest import Secret
from secretops.values import Value

Clock = Callable[[], datetime]


class GraceError(SecretopsError):
    """Readers may still use the replaced version."""

    def __init__(self, secret: str, old: str, until: datetime, *, rule: str) -> None:
        """`old` names what was replaced, as an operator knows it."""
        self.until = until
        super().__init__(
            f"{secret}: {old} was replaced, and may be in use until {until:%H:%M:%S} UTC",
            rule=rule,
            remedy=f"wait until {until:%Y-%m-%d %H:%M:%S} UTC, or cut its readers off with --now",
        )


def new_token(now: datetime) -> str:
    """Return the id of a new version: sorts by time, unique without coordination.

    33 characters: AWS' ClientRequestToken, which a version's id is there, has 32 to 64.
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


class Rotator(ABC):
    """Rotates one secret. Call it under the store's lease. Every step is idempotent.

    Each step may raise RefusedError, UnreachableError, StoreError.
    """

    def __init__(
        self,
        secret: Secret,
        *,
        store: VersionStore,
        journal: Journal,
        clock: Clock,
        grace: timedelta = timedelta(),
        versions: Versions | None = None,
    ) -> None:
        """`versions` are those of the store, if the caller has read them under the same lease."""
        self._secret, self._store, self._journal, self._clock, self._grace = secret, store, journal, clock, grace
        if versions is not None:
            self.versions = versions

    @cached_property
    def versions(self) -> Versions:
        """The versions of the secret: read once, and after an error again."""
        return self._store.versions(self._secret.name)

    def advance(self, *, force: bool = False) -> Version:
        """Finish the pending version or prepare a new one, then publish it. Return the version that is now current.

        `force` gives the readers of the previous version no grace, where they have any.
        """
        version = self._resumed() or self.prepare(force=force)
        self.verify(version)
        return self.publish(version)

    @abstractmethod
    def prepare(self, *, force: bool = False) -> Version:
        """Make a value and keep it as pending, before anybody else learns of it."""

    @abstractmethod
    def verify(self, version: Version) -> None:
        """Use the value as its readers will."""

    def publish(self, version: Version) -> Version:
        """Make `version` the current one and return it. No other step does."""
        with self._step("publish", version.id):
            now = self._clock()
            self._store.publish(self._secret.name, version.id, now)
            known = self.versions.known(self._secret.name, version.id)
            self.versions = self.versions.published(known, now)
        return self.versions.current or version

    def retire(self, version: Version) -> None:
        """Make a replaced version worthless, and have its value forgotten."""
        with self._step("retire", version.id):
            self._revoke(version)
            self._mark(version, retired=self._clock())

    def check_grace(self, old: str, *, rule: str) -> None:
        """Raise GraceError while the readers of the previous version may still use it. `old` names it."""
        previous, now, facts = self.versions.previous, self._clock(), self._facts()
        if previous is None or previous.retired:
            return
        until = grace_over(previous, facts) or now + grace_of(facts)
        if now < until:
            raise GraceError(self._secret.name, old, until, rule=rule)

    def _resumed(self) -> Version | None:
        """Return the pending version that `advance` finishes.

        Discards one that is due already, or was issued under settings that have changed.
        """
        version, issuer = self.versions.pending, self._secret.issuer
        due = renewal_at(version) if version else None
        if version and ((due and due <= self._clock()) or (issuer and issued_otherwise(version.id, issuer))):
            self._discard(version)
            return None
        return version

    def _revoke(self, version: Version) -> None:  # noqa: B027 - optional
        """Make the target refuse `version`. There is nothing to do for a value that no target knows."""

    def _facts(self) -> Facts:
        return Facts(secret=self._secret, versions=self.versions, grace=self._grace)

    def _value(self, version: Version, purpose: str) -> Value:
        return self._store.read(self._secret.name, version.id, purpose=purpose)

    def _add(self, version: Version, value: Value) -> Version:
        self._store.add(self._secret.name, version, value)
        self.versions = self.versions.with_pending(version)
        return version

    def _discard(self, version: Version) -> None:
        self._store.discard(self._secret.name, version.id)
        self.versions = self.versions.without_pending(version.id)

    def _mark(self, version: Version, *, verified: datetime | None = None, retired: datetime | None = None) -> None:
        self._store.mark(self._secret.name, version.id, verified=verified, retired=retired)
        self.versions = self.versions.changed(version.id, verified=verified, retired=retired)

    @contextmanager
    def _step(self, step: str, version: str) -> Iterator[None]:
        """Write the outcome of a step to the journal, whichever it is."""
        entry = partial(Entry, secret=self._secret.name, version=version, step=step)
        try:
            yield
        except SecretopsError as error:
            self.__dict__.pop("versions", None)
            self._journal.write(entry(time=self._clock(), outcome=error.what))
            raise
        self._journal.write(entry(time=self._clock(), outcome=DONE))


class SuppliedSecret(Rotator):
    """Publishes what an interrupted `put` left pending. It was tested before, unless the operator left that out."""

    def _resumed(self) -> Version | None:
        return self.versions.pending

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002 - there is nobody to force
        """Raise SecretopsError: only an operator supplies a value."""
        raise SecretopsError(f"{self._secret.name}: nothing to finish")

    def verify(self, version: Version) -> None:
        """Accept it as it is."""

    @contextmanager
    def _step(self, step: str, version: str) -> Iterator[None]:  # noqa: ARG002
        """Write no entry: by its last entry `status` knows a secret that had a value of ours and lost it."""
        yield
