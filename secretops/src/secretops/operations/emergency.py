"""What `--now` and an incident do where files of the store are broken. Only a folder has such files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from secretops.engine.state import Versions
from secretops.errors import StoreError
from secretops.manifest import Secret, SecretKind
from secretops.operations.session import Session


@contextmanager
def emergency(session: Session, secret: Secret, command: str) -> Iterator[list[str]]:
    """Hold the lease, with broken files of `secret` and of the broker's admin set aside.

    Yields a line for each file. Raises the errors of `lease`, StoreError.
    """
    repairs = session.platform.salvage(session.manifest.store, session.store)
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
        if (repairs := session.platform.salvage(session.manifest.store, session.store)) is None:
            raise
        return repairs.rebuilt(secret)


def had_value(session: Session, secret: Secret) -> bool:
    """Return whether `secret` ever had a version here, also where its record is lost or does not read."""
    try:
        if session.store.versions(secret.name).all or session.journal.last(secret.name):
            return True
    except StoreError:
        return True
    repairs = session.platform.salvage(session.manifest.store, session.store)
    return repairs is not None and repairs.was_published(secret.name)
