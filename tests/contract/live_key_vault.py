"""What the tests of the Azure store alone share: its place, the stand-in's own side of it, and what is done to both.

Its lease lies in memory, so that these tests need no Azurite.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.manifest import AzureStore
from secretops.stores import leases
from secretops.stores.key_vault import KeyVaultVersionStore, api
from secretops.stores.key_vault.api import Api
from secretops.stores.key_vault.lease import Timing
from secretops.values import Value, new_password
from tests.contract.places import FIELDS, InVault
from tests.real.azure import Azure
from tests.unit.lease_blob import BlobInMemory
from tools.key_vault.roles import SECRETS_OFFICER

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

    from tools.key_vault.vault import Vault

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = 60.0
NOT_RENEWED = Timing(duration=60, renew=3600, look=0.1)
V = tuple(new_token(NOW + timedelta(hours=number)) for number in range(10))


@dataclass(frozen=True)
class LiveVault(InVault):
    """The place, and the stand-in's own side of it."""

    azure: Azure
    blob: BlobInMemory = field(default_factory=BlobInMemory, compare=False)

    @classmethod
    def at(cls, azure: Azure) -> LiveVault:
        """A new vault, and a rotator that may write its secrets."""
        vault, rotator = azure.vault(), azure.principal("rotator")
        nowhere = "https://nowhere.blob.core.windows.net/lease/rotator"
        place = cls(json.dumps([vault.url, nowhere, azure.environment(rotator), azure.authority.tenant]), azure)
        for name in (*place.location.secrets.values(), *place.location.pending.values()):
            vault.access.grant(rotator.oid, SECRETS_OFFICER, name)
        return place

    def open(
        self, location: AzureStore | None = None, *, timing: Timing | None = None, client: SecretClient | None = None
    ) -> KeyVaultVersionStore:
        location, own = location or self.location, client or self.client
        return KeyVaultVersionStore(
            location, Api(location.vault, lambda _vault: own), lambda _url: self.blob, timing=timing or NOT_RENEWED
        )

    @property
    def vault(self) -> Vault:
        return self.azure.key_vaults.vaults[self.location.vault.removeprefix("https://")]

    def again(self) -> LiveVault:
        """With connections of its own, which ask again as often as the product says now."""
        return replace(self)

    def requests(self, operation: str, name: str = "it") -> list[dict[str, Any]]:
        """What the vault was asked, as its audit log has it."""
        return [
            row
            for row in self.vault.audit
            if row["OperationName"] == operation and f"/secrets/{name}/" in row["RequestUri"].partition("?")[0] + "/"
        ]

    def open_and_forget(self) -> None:
        self.open().forget("it")

    def all_versions(self, name: str = "it") -> list[Any]:
        return list(self.client.list_properties_of_secret_versions(name))


def less_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients made from now on ask twice more, without a pause to speak of."""
    monkeypatch.setattr(api, "RETRIES", 2)
    monkeypatch.setattr(api, "LONGEST_PAUSE", 0.01)


def make(**fields: str) -> Value:
    return Value({**{name: new_password() for name in FIELDS}, **fields})


def version(name: str, user: str | None = "a") -> Version:
    return Version(id=name, stage=Stage.PENDING, created=NOW, user=user)


def publish(place: InVault, name: str, value: Value | None = None) -> Value:
    value = value or make()
    place.open().add("it", version(name), value)
    place.open().publish("it", name, NOW)
    return value


def while_the_vault_writes(place: LiveVault, deed: Callable[[], object]) -> None:
    """Let somebody do something once, when the vault has the next request that writes and has not done it yet."""

    def act() -> None:
        place.vault.around_write.remove(act)
        deed()

    place.vault.around_write.append(act)


def current(place: InVault) -> Version | None:
    return place.open().versions("it").current


def followed(place: LiveVault) -> None:
    """What a follower does, at once: a holder that renews would keep a real one out."""
    place.blob.follow()


def follows(place: LiveVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, while whoever held it was held up for so long that it can't rest on its last renewal."""
    followed(place)
    later = leases.awake_or_not() + NOT_RENEWED.trusted + 1
    monkeypatch.setattr(leases, "awake_or_not", lambda: later)
