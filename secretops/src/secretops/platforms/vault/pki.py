"""A role of a PKI engine of Vault or OpenBao, which signs a request of ours and never has our key."""

from __future__ import annotations

from typing import Self

from secretops.certificates import SignedCertificate
from secretops.errors import StoreError
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.location import VaultIssuer, VaultStoreLocation
from secretops.platforms.vault.login import Login
from secretops.platforms.vault.server import Server


class VaultPki:
    """Asks for one signature by a login of its own, which it gives back."""

    def __init__(self, api: Api, issuer: VaultIssuer) -> None:
        self._api, self._issuer = api, issuer

    @classmethod
    def of(cls, location: VaultStoreLocation, issuer: VaultIssuer) -> Self:
        """The one in the Vault at `location`."""
        server = Server(location.address, location.namespace, location.ca_file)
        return cls(Api(server, issuer.mount, Login(server, location.login)), issuer)

    def sign(self, request: str) -> SignedCertificate:
        """By `sign`, and not by `issue`, whose answer has a key."""
        issuer = self._issuer
        asked = {"csr": request, "common_name": issuer.common_name, "ttl": f"{issuer.seconds}s", "format": "pem"}
        path = f"{issuer.mount}/sign/{issuer.role}"
        try:
            answer = self._api.raw("POST", path, asked)
        finally:
            self._api.close()
        found = (answer or {}).get("data") or {}
        certificate, chain = found.get("certificate"), found.get("ca_chain") or [found.get("issuing_ca")]
        if not isinstance(certificate, str) or not all(isinstance(one, str) for one in chain):
            raise StoreError(
                f"{path} at {self._api.server.host} gave no certificate with its chain",
                rule="its PKI engine signs with an intermediate, and says who signed that",
                remedy="pulumi up makes engine and role; is the intermediate signed (store.pki)?",
            )
        return SignedCertificate(certificate, tuple(chain))
