"""Azure for tests: the Key Vault stand-in, its tokens, and Azurite. A pytest plugin.

    azure    the stand-ins, one set per test process: vaults under their names in Azure, TLS, identities, the proxy.
             Without Azure's API description (from npm), requests are not validated
    vault    a new, empty vault for one test, whose every request is validated against Azure's description
    azurite  Microsoft's emulator of Storage (tests/real/azurite)

It proves the client's side, and nothing about Azure.
"""

from __future__ import annotations

import datetime
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cryptography.hazmat.primitives import serialization

from secretops.certificates import new_key, private_pem
from tests.real.mosquitto import make_ca, signed
from tools import azure_parts

if TYPE_CHECKING:  # this plugin is also loaded where the extra `azure` is not installed
    from azure.keyvault.secrets import SecretClient

    from tests.real.azure_hosts import AzureHosts
    from tests.real.entra import IdentityEndpoint, StandinCredential
    from tools.key_vault.server import KeyVaults
    from tools.key_vault.tokens import Authority, Principal
    from tools.key_vault.vault import Vault

DAYS = 2  # Validity of the certificates.


@dataclass(frozen=True)
class Certificate:
    """A server's certificate, its key, and the CA that clients must trust."""

    file: Path
    key: Path
    ca: Path


@dataclass(frozen=True)
class Azure:
    """The addresses of the stand-ins, and the identities."""

    key_vaults: KeyVaults
    authority: Authority
    identities: IdentityEndpoint
    hosts: AzureHosts
    certificate: Certificate

    def vault(self, name: str = "", **options: Any) -> Vault:
        """Return a new vault with an unused name. `options` are those of tools.key_vault.vault.Vault."""
        made = self.key_vaults.vault(name or f"kv-test-{secrets.token_hex(5)}", **options)
        self.hosts.ports[made.url.removeprefix("https://")] = self.key_vaults.port
        return made

    def principal(self, name: str = "somebody") -> Principal:
        """Return a new principal without rights: `vault.access.grant(principal.oid, SECRETS_USER, "its-secret")`."""
        from tools.key_vault.tokens import Principal

        return Principal(name)

    def credential(self, principal: Principal, **options: Any) -> StandinCredential:
        from tests.real.entra import StandinCredential

        return StandinCredential(self.authority, principal, **options)

    @property
    def client_options(self) -> dict[str, Any]:
        """Return the SDK client options (proxy, trust) that reach the stand-ins."""
        return {"connection_verify": str(self.certificate.ca), "proxies": {"https": self.hosts.url}}

    def client(self, vault: Vault, principal: Principal, **options: Any) -> SecretClient:
        from azure.keyvault.secrets import SecretClient

        return SecretClient(vault.url, self.credential(principal), **{**self.client_options, **options})

    def environment(self, principal: Principal) -> dict[str, str]:
        """Return the variables by which the SDK of another process finds the proxy, trust and managed identity."""
        return {
            "HTTPS_PROXY": self.hosts.url,
            "https_proxy": self.hosts.url,
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(self.certificate.ca),
            **self.identities.environment(principal),
        }


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")
    pytest.importorskip("openapi_schema_validator", reason="openapi-schema-validator is not installed")
    from tests.real.azure_hosts import AzureHosts
    from tests.real.azure_routes import Routes
    from tests.real.entra import IdentityEndpoint
    from tools.key_vault.description import Description
    from tools.key_vault.server import KeyVaults
    from tools.key_vault.tokens import Authority

    file = azure_parts.description()
    described = Description(file) if file.is_file() else Routes()
    certificate = certify(tmp_path_factory.mktemp("azure"), "*.vault.azure.net", "*.blob.core.windows.net")
    authority = Authority()
    key_vaults = KeyVaults(authority, described, certificate.file, certificate.key)
    identities, hosts = IdentityEndpoint(authority), AzureHosts()
    started = (key_vaults, identities, hosts)
    for each in started:
        each.start()
    try:
        yield Azure(key_vaults, authority, identities, hosts, certificate)
    finally:
        for each in started:
            each.stop()
    must_keep_to_the_description(*key_vaults.vaults.values())


@pytest.fixture
def vault(azure: Azure) -> Iterator[Vault]:
    """Yield a new vault. The test fails if a request or an answer violates Azure's description."""
    made = azure.vault()
    yield made
    must_keep_to_the_description(made)


@pytest.fixture
def azure_environment(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Principal:
    """Set this process' environment to that of a container in Azure. Return the container's principal."""
    for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "MSI_"))]:
        monkeypatch.delenv(name)
    principal = azure.principal("this process")
    for name, value in azure.environment(principal).items():
        monkeypatch.setenv(name, value)
    return principal


def must_keep_to_the_description(*vaults: Vault) -> None:
    """Fail the test if a request or an answer violated Azure's description. Each violation is reported once."""
    broken = [each for vault in vaults for each in vault.violations]
    for vault in vaults:
        vault.violations = []
    assert not broken, "Azure's description does not allow:\n" + "\n".join(sorted(set(broken)))


def certify(folder: Path, *hosts: str) -> Certificate:
    ca, ca_key, ca_file = make_ca(folder)
    key, made = new_key(), Certificate(folder / "server.crt", folder / "server.key", ca_file)
    server = signed("azure.example", key, issuer=(ca, ca_key), also=hosts, ends=datetime.timedelta(days=DAYS))
    made.file.write_bytes(server.public_bytes(serialization.Encoding.PEM))
    made.key.write_text(private_pem(key))
    return made
