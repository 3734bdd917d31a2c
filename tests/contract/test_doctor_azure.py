"""What doctor asks of a Key Vault, by a stand-in that keeps to Azure's description. The checks: test_azure_doctor."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import UsageError
from secretops.manifest import AzureStore
from secretops.operations.doctor import key_vault as doctors
from secretops.operations.doctor.azure import VaultAnswers
from secretops.operations.doctor.check import Level
from secretops.stores.key_vault import KeyVaultVersionStore, api
from secretops.stores.key_vault.errors import ForbiddenError
from secretops.values import Value
from tests.contract.live_key_vault import LiveVault, V, publish
from tests.real.azure import Azure
from tools.key_vault.roles import SECRETS_OFFICER
from tools.key_vault.tokens import Principal

pytestmark = pytest.mark.real


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


@pytest.fixture
def operator(place: LiveVault, azure_environment: Principal, monkeypatch: pytest.MonkeyPatch) -> Principal:
    """Who this process runs as: somebody with a role on the whole vault."""
    monkeypatch.setattr(api, "RETRIES", 0)
    place.vault.access.grant(azure_environment.oid, SECRETS_OFFICER)
    return azure_environment


def looked_at(place: LiveVault, **changes: str) -> doctors.Vault:
    found = doctors.Vault(place.location.model_copy(update=changes))
    found.lease = place.blob
    return found


@pytest.mark.usefixtures("operator")
def test_a_vault_is_seen_with_its_versions_what_is_deleted_and_what_the_stack_does_not_know(place: LiveVault) -> None:
    publish(place, V[1])
    client = looked_at(place).api.client
    client.begin_delete_secret("it-pending").wait()
    client.set_secret("old-key", '{"api-key": "typed"}')
    client.set_secret("forgotten", "{}", enabled=False)

    found = looked_at(place)
    assert VaultAnswers(found).look().level is Level.OK
    assert list(found.forbidden()) == []
    assert found.states["it"].versions.current and not found.states["other"].versions.all
    assert found.deleted().keys() == {"it-pending"}
    assert found.strangers() == ["old-key"]
    assert found.said_at and abs((found.said_at - datetime.now(UTC)).total_seconds()) < 60


def test_what_may_not_be_looked_at_is_named_and_is_no_vault_that_does_not_answer(
    place: LiveVault, operator: Principal
) -> None:
    for each in list(place.vault.access.assignments):
        place.vault.access.revoke(each)
    place.vault.access.grant(operator.oid, SECRETS_OFFICER, "it")

    found = looked_at(place)
    assert VaultAnswers(found).look().level is Level.OK
    missing = list(found.forbidden())
    assert len(missing) == 3 and all(isinstance(one, ForbiddenError) for one in missing)


@pytest.mark.usefixtures("operator")
def test_a_vault_that_another_tenant_took_is_reported_and_is_shown_no_login(place: LiveVault) -> None:
    theirs, before = "00000000-0000-0000-0000-00000000ffff", len(place.vault.audit)
    location: AzureStore = place.location.model_copy(update={"tenant": theirs})
    now = datetime.now(UTC)
    version = Version(id=new_token(now), stage=Stage.PENDING, created=now, user="a")
    with pytest.raises(UsageError, match=place.location.tenant):
        KeyVaultVersionStore.open(location, role="operator").add("it", version, Value({"username": "a"}))
    assert VaultAnswers(looked_at(place, tenant=theirs)).look().level is Level.ATTENTION
    assert not [
        row for row in place.vault.audit[before:] if row["Identity"].get("claim") or row["HttpStatusCode"] != 401
    ]
