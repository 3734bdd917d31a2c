"""Who signs certificates. One module an issuer, one Protocol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from secretops import registry
from secretops.engine import ports
from secretops.errors import UsageError
from secretops.manifest import Issuer, Manifest, PrivateCaIssuer, Secret, StoreLocation
from secretops.platform import Platform


def open_issuer(
    manifest: Manifest, secret: Secret, store: ports.VersionStore, clock: Callable[[], datetime]
) -> ports.Issuer:
    """Who signs the certificates of `secret`; a CA of the stack's own has its key in `store`. Touches nothing yet.

    Raises UsageError where nobody does.
    """
    match secret.issuer:
        case PrivateCaIssuer():
            from secretops.issuers.private_ca import PrivateCa

            return PrivateCa(secret.issuer, store, clock)
        case Issuer():
            platform: Platform[StoreLocation] = registry.find_issuer(secret.issuer.kind)
            return platform.open_issuer(manifest, secret.issuer)
        case _:
            raise UsageError(
                f"{secret.name}: nobody is named who signs it",
                rule="secretops has only those certificates made whose issuer the stack names",
                remedy=f"secretops put {secret.name}",
            )
