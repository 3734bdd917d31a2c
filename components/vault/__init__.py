"""HashiCorp Vault and OpenBao, which share an API: a KV v2 mount as a store for servers of other platforms."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .access_trail import VaultAccessTrail, VaultAccessTrailArgs
    from .args import AppRoleLogin, JwtLogin, ServiceAccountLogin
    from .identity import VaultIdentities, VaultIdentitiesArgs, VaultReader
    from .pki import VaultCertificates, VaultCertificatesArgs
    from .rotation import VaultRotation, VaultRotationArgs
    from .secret_store import VaultSecretStore, VaultSecretStoreArgs

__all__ = [
    "AppRoleLogin", "JwtLogin", "ServiceAccountLogin", "VaultAccessTrail", "VaultAccessTrailArgs", "VaultCertificates",
    "VaultCertificatesArgs", "VaultIdentities", "VaultIdentitiesArgs", "VaultReader", "VaultRotation",
    "VaultRotationArgs", "VaultSecretStore", "VaultSecretStoreArgs",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "access_trail", "identity", "pki", "rotation")
