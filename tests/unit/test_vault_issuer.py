"""A certificate that a PKI engine of Vault signs: what is asked of it, and that the login is given back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.errors import StoreError
from secretops.issuers.vault_pki import VaultPki
from secretops.manifest import VaultIssuer
from secretops.stores.vault.api import Api
from secretops.stores.vault.errors import DeniedError
from secretops.stores.vault.server import Server

ISSUER = VaultIssuer(mount="pki", role="client", common_name="coreflux-mcp-prod", seconds=86400)


class Engine:
    """Answers what a test says, and notes what it is asked."""

    server = Server("https://vault.example:8200")

    def __init__(self, answer: dict[str, Any] | StoreError | None) -> None:
        self._answer, self.asked, self.closed = answer, list[tuple[str, str, Mapping[str, Any]]](), False

    def raw(self, method: str, path: str, body: Mapping[str, Any]) -> dict[str, Any] | None:
        self.asked.append((method, path, body))
        if isinstance(self._answer, StoreError):
            raise self._answer
        return self._answer

    def close(self) -> None:
        self.closed = True


def test_a_request_is_signed_without_showing_a_key_and_the_login_is_given_back() -> None:
    engine = Engine({"data": {"certificate": "own", "ca_chain": ["intermediate", "root"]}})
    signed = VaultPki(cast(Api, engine), ISSUER).sign("request")
    assert (signed.certificate, signed.chain) == ("own", ("intermediate", "root"))
    ((method, path, body),) = engine.asked
    assert (method, path) == ("POST", "pki/sign/client")
    assert (body["csr"], body["common_name"], body["ttl"]) == ("request", ISSUER.common_name, "86400s")
    assert engine.closed


@pytest.mark.parametrize(
    "answer", [None, {"data": {"certificate": "own"}}, {"data": {"certificate": 7, "ca_chain": []}}]
)
def test_an_answer_without_a_certificate_and_its_chain_is_refused(answer: dict[str, Any] | None) -> None:
    with pytest.raises(StoreError):
        VaultPki(cast(Api, Engine(answer)), ISSUER).sign("request")


def test_the_login_is_given_back_when_nothing_is_signed() -> None:
    engine = Engine(DeniedError("no"))
    with pytest.raises(DeniedError):
        VaultPki(cast(Api, engine), ISSUER).sign("request")
    assert engine.closed
