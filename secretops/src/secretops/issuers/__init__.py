"""Who signs certificates. One module an issuer, one Protocol."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

from secretops.engine.ports import Issuer, VersionStore
from secretops.errors import UsageError
from secretops.manifest import AwsPrivateCaIssuer, Manifest, PrivateCaIssuer, Secret, VaultIssuer, VaultStore
from secretops.stores import lacking


def open_issuer(manifest: Manifest, secret: Secret, store: VersionStore, clock: Callable[[], datetime]) -> Issuer:
    """Who signs the certificates of `secret`; a CA of the stack's own has its key in `store`. Touches nothing yet.

    Raises UsageError where nobody does.
    """
    match secret.issuer:
        case VaultIssuer() if isinstance(manifest.store, VaultStore):
            try:
                from secretops.platforms.vault.pki import VaultPki
            except ModuleNotFoundError as error:
                raise lacking(error, "vault") from None

            return VaultPki.of(manifest.store, secret.issuer)
        case AwsPrivateCaIssuer():
            try:
                from secretops.platforms.aws.private_ca import AwsPrivateCa
            except ModuleNotFoundError as error:
                raise lacking(error, "aws") from None

            return AwsPrivateCa(secret.issuer)
        case PrivateCaIssuer():
            from secretops.issuers.private_ca import PrivateCa

            return PrivateCa(secret.issuer, store, clock)
        case _:
            raise UsageError(
                f"{secret.name}: nobody is named who signs it",
                rule="secretops has only those certificates made whose issuer the stack names",
                remedy=f"secretops put {secret.name}",
            )
