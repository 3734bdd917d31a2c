"""Who signs the client certificates that secretops has made: the stack's own PKI engine, once it can."""

from __future__ import annotations

from secretops.platforms.vault.location import VaultIssuer

from .names import CLIENT, names_of
from .settings import VaultStore

_DAY = 86400


def issuer_of(store: VaultStore, stack: str) -> VaultIssuer | None:
    """None without `pki`, and while nobody has signed its intermediate: certificates are supplied by then."""
    if store.pki is None or store.waits_for_a_signature:
        return None
    names = names_of(stack)
    return VaultIssuer(mount=names.pki, role=CLIENT, common_name=names.base, seconds=store.pki.days * _DAY)
