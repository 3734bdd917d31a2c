"""A CA of the stack's own: for whom it signs, and whether anybody relies on one of its versions still."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from secretops.engine.ports import VersionStore
from secretops.errors import UsageError
from secretops.manifest import Manifest, PrivateCaIssuer, Secret

if TYPE_CHECKING:
    from secretops.engine.state import Version


def signing(manifest: Manifest, authority: Secret) -> tuple[Secret, PrivateCaIssuer]:
    """Whose certificates a CA of the stack's signs, and how. Raises UsageError where that is nobody."""
    for secret in manifest.secrets:
        if isinstance(secret.issuer, PrivateCaIssuer) and secret.issuer.secret == authority.name:
            return secret, secret.issuer
    raise UsageError(
        f"{authority.name}: it signs for nobody",
        rule="a CA of the stack's own is there for one certificate",
        remedy="pulumi up: the manifest is not as the program makes it",
    )


def relied_on(manifest: Manifest, store: VersionStore, authority: Secret, version: Version, now: datetime) -> bool:
    """Whether somebody may still show a certificate that is signed by this version of a CA.

    Those whose key is kept say it themselves. Within the grace of the current one a reader may have one that is older
    than those: of two renewals in one grace the store keeps the last two.
    """
    from secretops.signing import has_signed  # it takes long to load, and a rotation needs none

    secret, _ = signing(manifest, authority)
    current = store.versions(secret.name).current
    if current and current.published and now < current.published + timedelta(seconds=manifest.grace_seconds):
        return True
    above = store.read(authority.name, version.id, purpose="see what it signed")["ca.crt"]
    return any(
        has_signed(above, store.read(secret.name, one.id, purpose="see who signed it")["client.crt"])
        for one in store.versions(secret.name).living
    )
