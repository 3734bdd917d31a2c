"""Who signs certificates. One module an issuer, one Protocol."""

from __future__ import annotations

from secretops.errors import UsageError
from secretops.issuers.protocol import Issuer, Signed
from secretops.manifest import Manifest, Secret, VaultStore
from secretops.stores import lacking

__all__ = ["Issuer", "Signed", "open_issuer"]


def open_issuer(manifest: Manifest, secret: Secret) -> Issuer:
    """Who signs the certificates of `secret`. Touches nothing yet. Raises UsageError where nobody does."""
    if secret.issuer is None or not isinstance(manifest.store, VaultStore):
        raise UsageError(
            f"{secret.name}: nobody is named who signs it",
            rule="secretops has only those certificates made whose issuer the stack names",
            remedy=f"secretops put {secret.name}",
        )
    try:
        from secretops.issuers.vault_pki import VaultPki
    except ModuleNotFoundError as error:
        raise lacking(error, "vault") from None

    return VaultPki.of(manifest.store, secret.issuer)
