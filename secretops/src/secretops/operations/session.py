"""A stack's store, journal and clock, opened together for one command."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from secretops.engine.decisions import Facts
from secretops.engine.journal import Journal
from secretops.engine.ports import VersionStore
from secretops.engine.rotator import Clock
from secretops.engine.state import Replica, Versions
from secretops.errors import StoreError, UsageError, did_you_mean
from secretops.formats import NAME
from secretops.manifest import Broker, Manifest, Secret, SecretKind, StoreLocation
from secretops.operations.certificate import with_certificate
from secretops.platform import Platform, Salvage, platform_of

# The rule of an error about a value on the command line.
NO_ARGUMENT = "a value is never an argument: the shell's history and every process list would show it"


def is_name(text: str) -> bool:
    """Return whether `text` has the form of a secret's name. Other text may be a value, and is not repeated."""
    return re.fullmatch(NAME, text) is not None


@dataclass(frozen=True, kw_only=True)
class Session:
    """The input of a command. Tests pass another clock, store or journal."""

    manifest: Manifest
    store: VersionStore
    journal: Journal
    clock: Clock = lambda: datetime.now(UTC)

    @classmethod
    def open(cls, manifest: Manifest, *, role: str) -> Session:
        """Open the store of the manifest. Access records name `role`."""
        store, journal = platform_of(manifest.store).open_store(manifest.store, role=role)
        return cls(manifest=manifest, store=store, journal=journal)

    @property
    def broker(self) -> Broker:
        """The broker as this process reaches it. Raises WaitingError while a required certificate is missing."""
        return with_certificate(self.manifest, self.store)

    @property
    def grace(self) -> timedelta:
        """The time that readers of a replaced version have."""
        return timedelta(seconds=self.manifest.grace_seconds)

    @property
    def platform(self) -> Platform[StoreLocation]:
        """The platform of the store."""
        return platform_of(self.manifest.store)

    def check_place(self) -> None:
        """Raise UsageError if the credentials lead to another store, with secrets of the same names."""
        self.platform.check_owner(self.manifest.store, self.store)

    def salvage(self) -> Salvage | None:
        """Return what repairs the store's files; None for a store without files."""
        return self.platform.salvage(self.manifest.store, self.store)

    def left(self) -> tuple[str, ...]:
        """Return the secrets that left the stack and are still in the store; none where it does not list them."""
        if not self.platform.lists_orphans:
            return ()
        return tuple(sorted(set(self.store.secret_names()) - {secret.name for secret in self.manifest.secrets}))

    def secret(self, name: str) -> Secret:
        """Return the secret called `name`. Raises UsageError that lists those there are."""
        try:
            return self.manifest.secret(name)
        except KeyError:
            names = [secret.name for secret in self.manifest.secrets]
            known = ", ".join(names)
            if not is_name(name):
                raise UsageError(
                    f"that is no secret of stack {self.manifest.stack}",
                    rule=NO_ARGUMENT,
                    remedy=f"one of {known}; if it was a value, it is known now: replace it",
                ) from None
            raise UsageError(
                f"{name}: no such secret in stack {self.manifest.stack}",
                remedy=f"{did_you_mean(name, names)}one of {known}",
            ) from None

    def lease(self, command: str) -> AbstractContextManager[None]:
        """Hold the store's lease as `command` of this process. A rotation writes only under it.

        On AWS it is an item of a table with an ARN, which credentials of another account can't write.
        """
        return self.store.lease(f"secretops {command} (pid {os.getpid()} on {socket.gethostname()})")

    def facts(self, secret: Secret, replicas: tuple[Replica, ...] = (), *, versions: Versions | None = None) -> Facts:
        """Return the facts about `secret`. `versions` are those of the store, if the caller has read them."""
        return Facts(
            secret=secret,
            versions=self.store.versions(secret.name) if versions is None else versions,
            grace=self.grace,
            replicas=replicas,
            expected=self.manifest.replicas,
            supplied_by=self.first_value(secret),
        )

    def first_value(self, secret: Secret) -> str:
        """Return the command that supplies it. The embedded broker makes its own admin, whom nobody is shown."""
        if self.manifest.broker.embedded and secret.kind is SecretKind.BROKER_ADMIN:
            return "secretops broker start"
        return f"secretops {'rotate' if secret.is_begun else 'put'} {secret.name}"


@contextmanager
def emergency(session: Session, secret: Secret, command: str) -> Iterator[list[str]]:
    """Hold the lease, with broken files of `secret` and of the broker's admin set aside.

    Yields a line for each file. Raises the errors of `lease`, StoreError.
    """
    repairs = session.salvage()
    lines = repairs.unblock() if repairs else []
    with session.lease(command):
        if repairs:
            admin = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
            lines += repairs.set_aside(secret.name, edits=True)
            lines += repairs.set_aside(admin.name, edits=False) if admin else []
        yield lines


def known_versions(session: Session, secret: str) -> Versions:
    """Return the versions that the store keeps, or those whose values read if the record of them does not.

    Raises StoreError, UnreachableError.
    """
    try:
        return session.store.versions(secret)
    except StoreError:
        if (repairs := session.salvage()) is None:
            raise
        return repairs.rebuilt(secret)


def had_value(session: Session, secret: Secret) -> bool:
    """Return whether `secret` ever had a version here, also where its record is lost or does not read."""
    try:
        if session.store.versions(secret.name).all or session.journal.last(secret.name):
            return True
    except StoreError:
        return True
    repairs = session.salvage()
    return repairs is not None and repairs.was_published(secret.name)
