"""The launcher's source `azure-kv:`, against the Key Vault stand-in. The test sets its clock."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from components.settings.remote_constraints import FETCHED
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.launcher.polling_source import BACKOFF_FACTOR, POLL_SECONDS, RETRY_SECONDS
from secretops.launcher.sources import open_source
from secretops.platforms.azure import api
from secretops.platforms.azure.api import KeyVaultApi
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.source import KeyVault
from secretops.platforms.azure.store import KeyVaultVersionStore
from secretops.values import Value
from tests.real.azure import Azure
from tests.real.azure_clients import AzureClients
from tools.key_vault.roles import SECRETS_OFFICER, SECRETS_USER

if TYPE_CHECKING:
    from collections.abc import Callable

    from tools.key_vault.tokens import Principal
    from tools.key_vault.vault import Vault

pytestmark = pytest.mark.real

NAMES = ("mqtt", "agent-key", "client-cert", "http-token")
NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
# Minimum seconds of a launcher to change over to a fetched value, within the stack's total.
CHANGING_OVER = 60


@dataclass
class Stack:
    """The secrets of a server, their readers, and the time."""

    azure: Azure
    vault: Vault
    rotator: Principal
    server: Principal
    now: float = 1000.0
    seen: int = 0

    def clients(self, whose: Principal) -> AzureClients:
        return AzureClients(self.azure.environment(whose))

    @property
    def store(self) -> KeyVaultVersionStore:
        location = AzureStoreLocation(
            tenant=self.azure.authority.tenant,
            vault=self.vault.url,
            secrets={name: name for name in NAMES},
            pending={name: f"{name}-pending" for name in NAMES},
            lease="https://none.blob.core.windows.net/none/none",
        )
        client = self.clients(self.rotator).vault(self.vault.url)
        return KeyVaultVersionStore(location, KeyVaultApi(self.vault.url, lambda _vault: client))

    def publish(self, secret: str, **fields: str) -> str:
        made, store = Version(id=new_token(NOW), stage=Stage.PENDING, created=NOW), self.store
        store.add(secret, made, Value({name.replace("_", "-"): text for name, text in fields.items()}))
        store.publish(secret, made.id, NOW)
        return made.id

    def source(self, names: str = "+".join(NAMES)) -> KeyVault:
        def open_api(vault: str) -> KeyVaultApi:
            assert vault == self.vault.url
            client = self.clients(self.server).vault(vault)
            return KeyVaultApi(vault, lambda _vault: client)

        return KeyVault(f"{self.host}/{names}", open_api=open_api, clock=lambda: self.now)

    @property
    def host(self) -> str:
        return self.vault.url.removeprefix("https://")

    def requested(self) -> list[str]:
        rows, self.seen = self.vault.audit[self.seen :], len(self.vault.audit)
        return [
            f"{row['OperationName']} {row['RequestUri'].split('/secrets/')[1].split('/')[0]}"
            for row in rows
            if (row["Identity"].get("claim") or {}).get("oid") == self.server.oid
        ]


@pytest.fixture
def stack(azure: Azure, vault: Vault, monkeypatch: pytest.MonkeyPatch) -> Stack:
    monkeypatch.setenv("MQTT_BROKER", "broker.example")
    monkeypatch.setattr(api, "RETRIES", 0)
    made = Stack(azure, vault, azure.principal("rotator"), azure.principal("server"))
    vault.access.grant(made.rotator.oid, SECRETS_OFFICER)
    for name in NAMES:
        vault.access.grant(made.server.oid, SECRETS_USER, name)
    return made


def password() -> str:
    return secrets.token_hex(20)


def test_a_new_version_is_seen_within_the_interval_and_a_value_is_read_once_only(stack: Stack) -> None:
    first, second = password(), password()
    version = stack.publish("mqtt", username="server-a", password=first)
    stack.publish("agent-key", api_key=password())
    source = stack.source("mqtt+agent-key")
    before = source.fingerprint()
    assert stack.requested() == [f"{what} {name}" for name in ("mqtt", "agent-key") for what in (LIST, "SecretGet")]
    for _ in range(3):  # the launcher polls every second
        assert source.fingerprint() == before
        source.read()
        stack.now += POLL_SECONDS / 10
    assert stack.requested() == []
    stack.store.mark("mqtt", version, verified=NOW)
    stack.now += 1.2 * POLL_SECONDS
    assert source.fingerprint() == before
    assert stack.requested() == [f"{LIST} mqtt", f"{LIST} agent-key"], "what is only noted of it is not read"
    stack.publish("mqtt", username="server-b", password=second)
    stack.now += 1.2 * POLL_SECONDS
    assert source.fingerprint() != before
    assert stack.requested() == [f"{LIST} mqtt", "SecretGet mqtt", f"{LIST} agent-key"]
    assert source.read().mqtt["password"] == second
    assert first not in before


LIST = "SecretListVersions"


def assert_followed(stack: Stack, source: KeyVault) -> None:
    """Check that the launcher reads a new version early enough to use it before the replaced user is retired."""
    stack.publish("mqtt", username="server-b", password=password())
    published = stack.now
    while source.read().mqtt["username"] != "server-b":
        stack.now += 1
        assert stack.now < published + FETCHED - CHANGING_OVER


def test_disabled_value_is_not_polled_and_the_next_comes_in_time(
    stack: Stack,
) -> None:
    stack.publish("mqtt", username="server-a", password=password())
    source = stack.source("mqtt")
    source.read()
    disable(stack, "mqtt")
    stack.requested()
    started = stack.now
    while stack.now < started + 3600:
        stack.now += RETRY_SECONDS / 4
        source.read()
    requested = stack.requested()
    assert set(requested) == {f"{LIST} mqtt"}, "none is refused"
    assert len(requested) <= 3600 / (0.9 * (BACKOFF_FACTOR - 0.5) * RETRY_SECONDS)
    assert_followed(stack, source)


def no_role(stack: Stack, secret: str) -> None:
    for each in [one for one in stack.vault.access.assignments if one.secret == secret]:
        stack.vault.access.revoke(each)


def delete(stack: Stack, secret: str) -> None:
    stack.clients(stack.rotator).vault(stack.vault.url).begin_delete_secret(secret).wait()


def disable(stack: Stack, secret: str) -> None:
    client = stack.clients(stack.rotator).vault(stack.vault.url)
    client.update_secret_properties(secret, client.get_secret(secret).properties.version, enabled=False)


@pytest.mark.parametrize("happens", [no_role, delete, disable])
def test_a_certificate_that_is_refused_or_gone_does_not_turn_tls_off(
    happens: Callable[[Stack, str], None], stack: Stack
) -> None:
    stack.publish("mqtt", username="server-a", password=password())
    stack.publish("client-cert", ca_crt=password())
    happens(stack, "client-cert")
    assert stack.source("mqtt+client-cert").read().tls
    assert not stack.source("mqtt").read().tls
    assert bool(stack.source("").read().tls) is (happens is not delete), "a secret that no setting names may be missing"


def test_azure_identitys_own_chain_leads_there(stack: Stack, azure_environment: Principal) -> None:
    stack.vault.access.grant(azure_environment.oid, SECRETS_USER, "mqtt")
    value = {"username": "server-a", "password": password()}
    stack.publish("mqtt", **value)
    source = open_source(f"azure-kv:{stack.host}/mqtt")
    assert dict(source.read().mqtt) == value
    assert json.dumps(value) not in repr(source)
