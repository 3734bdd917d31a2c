"""Take a stack's values away for good. Dry unless told otherwise: `pulumi destroy` never does this."""

from __future__ import annotations

from secretops.engine.state import Version
from secretops.operations.session import Session


def purge(session: Session, *, destroy: bool) -> dict[str, tuple[Version, ...]]:
    """Every version of every secret, and with `destroy` they are gone, from the store and from what it delivered.

    The broker's users stay as they are: without its values nobody can log in as them. Raises StoreError,
    LeaseHeldError.
    """
    with session.lease("purge"):
        found = {secret.name: session.store.versions(secret.name).all for secret in session.manifest.secrets}
        if destroy:
            for name in found:
                session.store.forget(name)
        return {name: versions for name, versions in found.items() if versions}
