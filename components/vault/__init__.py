"""The Vault platform: a KV v2 mount of a HashiCorp Vault or an OpenBao server as the store; both have one API.

Servers elsewhere read from it: pods by Vault's agent or External Secrets, others by the launcher itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .identity import VaultIdentities, VaultIdentitiesArgs
    from .login import AppRoleLogin, JwtLogin, ServiceAccountLogin
    from .pki import PkiArgs, VaultCertificates, VaultCertificatesArgs
    from .principals import VaultReader, VaultServerArgs
    from .secret_store import VaultSecretStore, VaultSecretStoreArgs

__all__ = [
    "AppRoleLogin", "JwtLogin", "PkiArgs", "ServiceAccountLogin", "VaultCertificates", "VaultCertificatesArgs",
    "VaultIdentities", "VaultIdentitiesArgs", "VaultReader", "VaultSecretStore", "VaultSecretStoreArgs",
    "VaultServerArgs",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "identity")
