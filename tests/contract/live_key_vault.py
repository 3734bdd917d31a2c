"""What the tests of the Azure store alone share: its place, the stand-in's own side of it, and what is done to both."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from azure.storage.blob import BlobLeaseClient

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.stores import leases
from secretops.stores.key_vault import api
from secretops.stores.key_vault.lease import LeaseBlob, Timing
from secretops.values import Value, new_password
from tests.contract.places import FIELDS, InVault
from tests.real.azure import Azure

if TYPE_CHECKING:
    from tools.key_vault.vault import Vault

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
DEADLINE = 60.0
QUICK = Timing(duration=15, renew=0.3, look=0.1)
NOT_RENEWED = Timing(duration=60, renew=3600, look=0.1)
V = tuple(new_token(NOW + timedelta(hours=number)) for number in range(10))


@dataclass(frozen=True)
class LiveVault(InVault):
    """The place, and the stand-in's own side of it."""

    azure: Azure

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


def followed(place: LiveVault, name: str = "the follower") -> None:
    """What a follower does, at once: a holder that renews would keep a real one out."""
    ended(place)
    blob, own = LeaseBlob(place.location.lease, place.clients.blob), str(uuid.uuid4())
    assert blob.acquire(own, 15) and blob.say(own, name, datetime.now(UTC), 0)


def follows(place: LiveVault, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same, while whoever held it was held up for so long that it can't rest on its last renewal."""
    followed(place)
    later = leases.awake_or_not() + NOT_RENEWED.trusted + 1
    monkeypatch.setattr(leases, "awake_or_not", lambda: later)


def ended(place: LiveVault) -> None:
    """What a person does: az storage blob lease break."""
    BlobLeaseClient(place.clients.blob(place.location.lease)).break_lease(lease_break_period=0)
