"""Take a stack's values away for good. Dry unless told otherwise: `pulumi destroy` never does this."""

from __future__ import annotations

from secretops.engine.state import Version
from secretops.operations import broker
from secretops.operations.session import Session


def purge(session: Session, *, destroy: bool) -> dict[str, tuple[Version, ...]]:
    """Every version of every secret that the store keeps, and with `destroy` they are gone, delivered ones too.

    A broker's users stay as they are: without the values nobody can log in as them. The embedded broker goes whole,
    for its admin could never be found again. Raises StoreError, LeaseHeldError, EmbeddedBrokerError.
    """
    with session.lease("purge"):
        found = {name: session.store.versions(name).all for name in session.store.kept()}
        if destroy:
            broker.remove(session.manifest)
            for name in found:
                session.store.forget(name)
        return found
