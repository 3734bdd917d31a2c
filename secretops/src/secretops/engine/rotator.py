"""The base class of all rotators. It reads a secret's versions once, and writes a journal entry for each step.

Without the lease the versions may be outdated, so a rotator calls `store.confirm` before each change of a target.
"""

from __future__ import annotations

import secrets
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from datetime import datetime, timedelta
from functools import cached_property, partial

from secretops.engine.decisions import Facts, grace_end, grace_period, issuer_changed, renewal_at
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
        self.until = until
        super().__init__(
            f"{secret}: {old} was replaced, and may be in use until {until:%H:%M:%S} UTC",
            rule=rule,
            remedy=f"run the command again after {until:%Y-%m-%d %H:%M:%S} UTC; or add --now, which may disconnect "
            "readers",
            code="grace-not-over",
        )


def new_token(now: datetime) -> str:
    """Return an id for a new version. Ids sort by time, and are unique without coordination.

    33 characters: Secrets Manager requires 32 to 64 (ClientRequestToken).
    https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_PutSecretValue.html
    """
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(8)}"


@dataclass(eq=False)
class Rotator(ABC):
    """Rotates one secret, while the process holds the store's lease. Steps are idempotent.

    Each step may raise RefusedError, UnreachableError, StoreError.
    """

    secret: Secret
    _: KW_ONLY
    store: VersionStore
    journal: Journal
    clock: Clock
    grace: timedelta = timedelta()
    # Versions, if the caller has read them under the same lease.
    known: Versions | None = None

    @cached_property
    def versions(self) -> Versions:
        """Return the secret's versions, read from the store once, and again after a failed step."""
        return self.store.versions(self.secret.name) if self.known is None else self.known

    def advance(self, *, force: bool = False) -> Version:
        """Publish the pending version, or a new one. With `force` there is no grace period."""
        version = self._resumed() or self.prepare(force=force)
        self.verify(version)
        return self.publish(version)

    @abstractmethod
    def prepare(self, *, force: bool = False) -> Version:
        """Store a new pending value, before anybody else receives it."""

    @abstractmethod
    def verify(self, version: Version) -> None:
        """Prove that the value works, by using it as its readers do."""

    def publish(self, version: Version) -> Version:
        with self._step("publish", version.id):
            now = self.clock()
            self.store.publish(self.secret.name, version.id, now)
            self.versions = self.versions.published(self.versions.get(self.secret.name, version.id), now)
        return self.versions.current or version

    def retire(self, version: Version) -> None:
        """Invalidate a replaced version at its target, and delete its value from the store."""
        with self._step("retire", version.id):
            self._revoke(version)
            self._mark(version, retired=self.clock())

    def check_grace(self, old: str, *, rule: str) -> None:
        """Raise GraceError while readers may use the previous version. `old` and `rule` are texts of its message."""
        previous, now = self.versions.previous, self.clock()
        facts = Facts(secret=self.secret, versions=self.versions, grace=self.grace)
        if previous is None or previous.retired:
            return
        until = grace_end(previous, facts) or now + grace_period(facts)
        if now < until:
            raise GraceError(self.secret.name, old, until, rule=rule)

    def _resumed(self) -> Version | None:
        """Return the pending version, or None. Discards it first if it is already due for renewal, or its issuer's
        settings have changed since."""
        version, issuer = self.versions.pending, self.secret.issuer
        due = renewal_at(version) if version else None
        if version and ((due and due <= self.clock()) or (issuer and issuer_changed(version.id, issuer))):
            self._discard(version)
            return None
        return version

    def _revoke(self, version: Version) -> None:  # noqa: B027 - some values have no target
        ...

    def _confirm(self) -> None:
        previous = self.versions.previous
        self.store.confirm(self.secret.name, previous.id if previous else None)

    def _value(self, version: Version, purpose: str) -> Value:
        return self.store.read(self.secret.name, version.id, purpose=purpose)

    def _add(self, version: Version, value: Value) -> Version:
        self.store.add(self.secret.name, version, value)
        self.versions = self.versions.with_pending(version)
        return version

    def _discard(self, version: Version) -> None:
        self.store.discard(self.secret.name, version.id)
        self.versions = self.versions.without_pending(version.id)

    def _mark(self, version: Version, *, verified: datetime | None = None, retired: datetime | None = None) -> None:
        self.store.mark(self.secret.name, version.id, verified=verified, retired=retired)
        self.versions = self.versions.changed(version.id, verified=verified, retired=retired)

    @contextmanager
    def _step(self, step: str, version: str) -> Iterator[None]:
        entry = partial(Entry, secret=self.secret.name, version=version, step=step)
        try:
            yield
        except SecretopsError as error:
            self.known = None
            self.__dict__.pop("versions", None)
            self.journal.write(entry(time=self.clock(), outcome=error.what))
            raise
        self.journal.write(entry(time=self.clock(), outcome=DONE))


class SuppliedSecret(Rotator):
    """Publishes the version that an interrupted `put` tested and left pending."""

    def _resumed(self) -> Version | None:
        return self.versions.pending

    def prepare(self, *, force: bool = False) -> Version:  # noqa: ARG002
        name = self.secret.name
        what, rule = f"{name}: no pending version", "an operator must supply a new value of this secret"
        raise SecretopsError(what, rule=rule, remedy=f"secretops put {name}", code="no-pending-version")

    def verify(self, version: Version) -> None: ...

    @contextmanager
    def _step(self, step: str, version: str) -> Iterator[None]:
        """Run a step, and write a journal entry only if it succeeds: after an entry without a stored version, `status`
        would report lost values."""
        yield
        self.journal.write(Entry(time=self.clock(), secret=self.secret.name, version=version, step=step, outcome=DONE))
