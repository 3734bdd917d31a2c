"""Take a stack's values away for good. Dry unless told otherwise: `pulumi destroy` never does this."""

from __future__ import annotations

from secretops.engine.state import Version
from secretops.errors import UsageError
from secretops.manifest import Manifest, SecretKind, SwarmStore
from secretops.operations import broker
from secretops.operations.session import Session


def purge(session: Session, only: str | None = None, *, destroy: bool) -> dict[str, tuple[Version, ...]]:
    """Every version of every secret that the store keeps, or of `only` one; with `destroy` gone, delivered ones too.

    A broker's users stay as they are: without the values nobody can log in as them. The embedded broker goes whole,
    for its admin could never be found again. So does what commands were carried in, and the value that one of them had
    of its operator. Raises StoreError, LeaseHeldError, EmbeddedBrokerError, UsageError.
    """
    with session.lease("purge"):
        kept = session.store.kept()
        if only is not None:
            _check(session, only, kept)
        found = {name: session.store.versions(name).all for name in kept if only in (None, name)}
        if destroy:
            if only is None:
                broker.remove(session.manifest)
                _clear(session.manifest)
            for name in found:
                session.store.forget(name)
        return found


def _clear(manifest: Manifest) -> None:
    """Before the values go: a task that has one attached keeps it."""
    if isinstance(manifest.store, SwarmStore):
        from secretops.operations.tasks import Tasks

        Tasks(manifest.store).clear()


def _check(session: Session, name: str, kept: tuple[str, ...]) -> None:
    """Raise UsageError unless the values of `name` alone can go."""
    if name not in kept:
        raise UsageError(
            f"{name}: no value of it is kept",
            rule="purge takes the name of a secret that has one, or none and then takes all",
            remedy=f"one of {', '.join(kept)}" if kept else "nothing to do",
        )
    admin = session.manifest.of_kind(SecretKind.BROKER_ADMIN)
    if session.manifest.broker.embedded and admin and name == admin.name:
        raise UsageError(
            f"{name}: the embedded broker has no other admin",
            rule="without it its users could never be changed again, so that both go together",
            remedy="secretops purge --destroy, which removes all of the stack",
        )
