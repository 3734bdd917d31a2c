"""A stack's store, journal and clock, opened for one command."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from secretops.engine.decisions import Facts
from secretops.engine.journal import Journal, SignedJournal
from secretops.engine.ports import VersionStore
from secretops.engine.rotator import Clock
from secretops.engine.state import Replica, Versions
from secretops.errors import StoreError, UsageError, did_you_mean
from secretops.formats import NAME
from secretops.manifest import Broker, Manifest, Secret, SecretKind, StoreLocation
from secretops.operations.certificate import with_certificate
from secretops.platform import Platform, Salvage, platform_of

# Rule in errors about a secret value on the command line.
NO_ARGUMENT = "a secret value must not be an argument: the shell's history and every process list show it"


def is_name(text: str) -> bool:
    """Return whether `text` has the form of a secret's name. Never print other text: it may be a secret value."""
    return re.fullmatch(NAME, text) is not None


@dataclass(frozen=True, kw_only=True)
class Session:
    """The manifest, store, journal and clock of a command."""

    manifest: Manifest
    store: VersionStore
    journal: Journal
    clock: Clock = lambda: datetime.now(UTC)

    @classmethod
    def open(cls, manifest: Manifest, *, role: str) -> Session:
        platform = platform_of(manifest.store)
        store, journal = platform.open_store(manifest.store, role=role)
        return cls(manifest=manifest, store=store, journal=SignedJournal(journal, platform.actor(role)))

    @property
    def broker(self) -> Broker:
        """Return the broker with the paths of its client certificate's files. Raises WaitingError."""
        return with_certificate(self.manifest, self.store)

    @property
    def grace(self) -> timedelta:
        return timedelta(seconds=self.manifest.grace_seconds)

    @property
    def platform(self) -> Platform[StoreLocation]:
        return platform_of(self.manifest.store)

    def check_owner(self) -> None:
        """Raise UsageError if this machine's credentials open a store other than the manifest's."""
        self.platform.check_owner(self.manifest.store, self.store)

    def salvage(self) -> Salvage | None:
        return self.platform.salvage(self.manifest.store, self.store)

    def orphans(self) -> tuple[str, ...]:
        """Return the secrets in the store that were removed from the stack."""
        if not self.platform.lists_orphans:
            return ()
        return tuple(sorted(set(self.store.secret_names()) - {secret.name for secret in self.manifest.secrets}))

    def secret(self, name: str) -> Secret:
        try:
            return self.manifest.secret(name)
        except KeyError:
            names = [secret.name for secret in self.manifest.secrets]
        shown, rule = name, "the argument must name a secret of the stack"
        remedy = f"{did_you_mean(name.lower(), names)}pass one of {', '.join(names)}"
        if not is_name(name):
            shown, rule = "the argument", NO_ARGUMENT
            remedy += "; if the argument was a value, replace the value: it is exposed"
        what = f"{shown}: no such secret in stack {self.manifest.stack}"
        raise UsageError(what, rule=rule, remedy=remedy, code="secret-unknown")

    def lease(self, command: str) -> AbstractContextManager[None]:
        return self.store.lease(f"secretops {command} (pid {os.getpid()} on {socket.gethostname()})")

    def facts(self, secret: Secret, replicas: tuple[Replica, ...] = (), *, versions: Versions | None = None) -> Facts:
        """Return the facts about `secret`. `versions`: the store's versions, if the caller has already read them."""
        return Facts(
            secret=secret,
            versions=self.store.versions(secret.name) if versions is None else versions,
            grace=self.grace,
            replicas=replicas,
            expected=self.manifest.replicas,
            supplied_by=self.first_value_command(secret),
        )

    def first_value_command(self, secret: Secret) -> str:
        if self.manifest.broker.embedded and secret.kind is SecretKind.BROKER_ADMIN:
            return "secretops broker start"
        return f"secretops {'rotate' if secret.makes_first_value else 'put'} {secret.name}"


@contextmanager
def exclusive(
    session: Session, secret: Secret, command: str, notify: Callable[[str], None], *, force: bool
) -> Iterator[None]:
    """Run the block under the store's lease. `force` sets aside broken files of `secret` and of the broker's admin:
    `notify` gets a line per file.

    Raises StoreError, LeaseHeldError.
    """
    repairs = session.salvage() if force else None
    lines = repairs.unblock() if repairs else []
    with session.lease(command):
        if repairs:
            admin = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
            lines += repairs.set_aside(secret.name, edits=True)
            lines += repairs.set_aside(admin.name, edits=False) if admin else []
        for line in lines:
            notify(line)
        yield


def known_versions(session: Session, secret: str) -> Versions:
    """Return the versions in the store, or if their record is broken, the versions that have a readable value."""
    try:
        return session.store.versions(secret)
    except StoreError:
        if (repairs := session.salvage()) is None:
            raise
        return repairs.rebuilt(secret)


def had_value(session: Session, secret: Secret) -> bool:
    """Return whether `secret` ever had a version. True if its record is broken."""
    try:
        if session.store.versions(secret.name).all or session.journal.last(secret.name):
            return True
    except StoreError:
        return True
    repairs = session.salvage()
    return repairs is not None and repairs.was_published(secret.name)
