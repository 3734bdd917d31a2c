"""Behavior of the Azure store alone: versions, their tags, edits, deletions, requests that fail.

The vault is a stand-in that follows Azure's API description. test_stores.py has the behavior of all stores.
"""

from __future__ import annotations

import json
import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")


from secretops.engine.journal import Entry
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.launcher import polling_source
from secretops.platforms.azure import api
from secretops.platforms.azure import checks as doctors
from secretops.platforms.azure.api import KeyVaultApi
from secretops.platforms.azure.errors import ForbiddenError
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.platforms.azure.store import KeyVaultVersionStore
from secretops.platforms.azure.tags import PREFIX
from secretops.stores import lease, store_errors
from secretops.stores.lease import LeaseLostError, Timing
from tests.contract.places import InVault
from tests.contract.versions import FIELDS, NOW, make, publish, version
from tests.real.azure import Azure
from tests.real.azure_clients import OwnConnections
from tests.unit.lease_blob import BlobInMemory
from tools.key_vault.faults import Fault, failing, losing_the_answer, throttling
from tools.key_vault.problems import Refusal
from tools.key_vault.roles import SECRETS_OFFICER
from tools.key_vault.tokens import Principal

if TYPE_CHECKING:
    from azure.keyvault.secrets import SecretClient

    from tools.key_vault.vault import Vault
pytestmark = pytest.mark.real

DEADLINE = 600.0
NOT_RENEWED = Timing(duration=60, renew=3600, poll=0.1)
V = tuple(new_token(NOW + timedelta(hours=number)) for number in range(10))


@dataclass(frozen=True)
class LiveVault(InVault):
    """The place, with access to the server side of the stand-in."""

    azure: Azure
    blob: BlobInMemory = field(default_factory=BlobInMemory, compare=False)

    @classmethod
    def at(cls, azure: Azure) -> LiveVault:
        vault, rotator = azure.vault(), azure.principal("rotator")
        nowhere = "https://nowhere.blob.core.windows.net/lease/rotator"
        place = cls(json.dumps([vault.url, nowhere, azure.environment(rotator), azure.authority.tenant]), azure)
        vault.access.grant(rotator.oid, SECRETS_OFFICER)
        return place

    def open(
        self,
        location: AzureStoreLocation | None = None,
        *,
        timing: Timing | None = None,
        client: SecretClient | None = None,
    ) -> KeyVaultVersionStore:
        location, own = location or self.location, client or self.client
        return KeyVaultVersionStore(
            location,
            KeyVaultApi(location.vault, lambda _vault: own),
            self.blob,
            timing=timing or NOT_RENEWED,
        )

    @property
    def vault(self) -> Vault:
        return self.azure.key_vaults.vaults[self.location.vault.removeprefix("https://")]

    def again(self) -> LiveVault:
        return replace(self)

    def requests(self, operation: str, name: str = "it") -> list[dict[str, Any]]:
        return [
            row
            for row in self.vault.audit
            if row["OperationName"] == operation and f"/secrets/{name}/" in row["RequestUri"].partition("?")[0] + "/"
        ]

    def open_and_forget(self) -> None:
        self.open().forget("it")

    def all_versions(self, name: str = "it") -> list[Any]:
        return list(self.client.list_properties_of_secret_versions(name))


def while_the_vault_writes(place: LiveVault, deed: Callable[[], object]) -> None:
    """Run `deed` once, before the vault executes the next write request."""

    def act() -> None:
        place.vault.around_write.remove(act)
        deed()

    place.vault.around_write.append(act)


def current(place: InVault) -> Version | None:
    return place.open().versions("it").current


def followed(place: LiveVault) -> None:
    """Take over the lease at once, which a real successor can't do while the holder renews it."""
    place.blob.follow()


def follows(place: LiveVault, monkeypatch: pytest.MonkeyPatch) -> None:
    followed(place)
    later = lease.boot_clock() + NOT_RENEWED.trusted + 1
    monkeypatch.setattr(lease, "boot_clock", lambda: later)


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(api, "RETRIES", 2)
    monkeypatch.setattr(api, "LONGEST_PAUSE", 0.01)


@pytest.mark.parametrize("days", [None, 30, 800])
def test_reader_finds_one_json_object_that_expires_as_its_certificate_or_when_due(
    place: LiveVault, days: int | None
) -> None:
    value, store = make(), place.open()
    store.add("it", replace(version(V[1]), expires=NOW + timedelta(days=days) if days else None), value)
    store.publish("it", V[1], NOW)
    found = place.client.get_secret("it")
    assert json.loads(found.value or "") == dict(value)
    assert found.properties.content_type == "application/json"
    assert found.properties.expires_on == NOW + timedelta(days=days or 90)
    assert (found.properties.tags or {})[f"{PREFIX}id"] == V[1]


def test_publishing_is_one_request_with_the_value_and_all_that_is_known_of_it(place: LiveVault) -> None:
    old = publish(place, V[1])
    value = make()
    place.open().add("it", version(V[2]), value)
    place.open().mark("it", V[2], verified=NOW)
    seen: list[tuple[dict[str, str | None], str | None]] = []

    def look() -> None:
        now = current(place)
        seen.append((place.delivered(), now.id if now else None))

    OwnConnections.around_write.append(look)
    try:
        before = len(place.requests("SecretSet"))
        place.open().publish("it", V[2], NOW + timedelta(hours=1))
    finally:
        OwnConnections.around_write.clear()
    assert len(place.requests("SecretSet")) == before + 1
    assert place.requests("SecretUpdate") == [], "nothing has to follow for it to be whole"
    assert [each for each in seen if each not in ((dict(old), V[1]), (dict(value), V[2]))] == []
    now = current(place)
    assert now == version(V[2]).at(stage=Stage.CURRENT, verified=NOW, published=NOW + timedelta(hours=1))


def test_a_publication_does_not_rest_on_a_renewal_however_recent_it_is(place: LiveVault) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    store, before = place.open(), len(place.requests("SecretSet"))
    with store.lease("who was held up"):
        followed(place)
        with pytest.raises(LeaseLostError):
            store.publish("it", V[2], NOW)
    assert len(place.requests("SecretSet")) == before


def test_a_rotator_that_was_followed_writes_nothing(place: LiveVault, monkeypatch: pytest.MonkeyPatch) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    store = place.open()
    acts: tuple[Callable[[], None], ...] = (
        lambda: store.publish("it", V[2], NOW),
        lambda: store.mark("it", V[1], verified=NOW),
        lambda: store.discard("it", V[2]),
        lambda: store.forget("it"),
    )
    with store.lease("who was held up"):
        follows(place, monkeypatch)
        for act in acts:
            with pytest.raises(LeaseLostError) as lost:
                act()
            assert lost.value.taker == "the follower"
    assert [one.id for one in place.open().versions("it").all] == [V[1], V[2]]


@pytest.mark.slow
def test_first_holder_creates_the_lease_blob_but_no_container(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """This test uses Azurite, Microsoft's emulator. The other tests here have a blob in memory."""
    place = InVault(InVault.fresh(request, tmp_path))
    container = place.location.lease.rpartition("/")[0]
    with place.open(place.location.model_copy(update={"lease": f"{container}/fresh"})).lease("one"):
        pass
    none = place.location.model_copy(update={"lease": f"{container}-none/fresh"})
    with pytest.raises(StoreError, match="pulumi up"), place.open(none).lease("one"):
        pass


def test_lost_lease_prevents_a_write_retry(place: LiveVault, impatient: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The SDK retries for more than a minute, but the lease lasts half a minute."""
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    fault, new = failing("SetSecret", secret="it"), make()
    place.vault.faults.append(fault)
    store = place.again().open()

    def after_the_first() -> None:
        if fault.times == 0:
            OwnConnections.around_write.clear()
            follows(place, monkeypatch)
            publish(place, V[3], new)

    with store.lease("who was held up"):
        OwnConnections.around_write.append(after_the_first)
        try:
            with pytest.raises(LeaseLostError):
                store.publish("it", V[2], NOW)
        finally:
            OwnConnections.around_write.clear()
    assert place.delivered() == dict(new)


def test_oversized_value_is_refused_and_not_stored(place: LiveVault) -> None:
    before = len(place.requests("SecretSet", "it-pending"))
    with pytest.raises(UsageError):
        place.open().add("it", version(V[1]), make(password="x" * 26_000))
    assert len(place.requests("SecretSet", "it-pending")) == before


def test_unsaved_metadata_undoes_no_step(place: LiveVault, impatient: None, caplog: pytest.LogCaptureFixture) -> None:
    publish(place, V[1])
    place.vault.faults.append(failing("UpdateSecret", times=10))
    with caplog.at_level(logging.WARNING):
        store = place.again().open()
        store.journal.write(Entry(time=NOW, secret="it", version=V[1], step="apply", outcome="done"))
    place.vault.faults.clear()
    assert "InternalServerError" in caplog.text


def test_a_secret_that_an_operator_made_with_nothing_in_it_is_no_value_and_no_edit(place: LiveVault) -> None:
    """An operator must do so if Azure assigns no role on a secret that does not exist (docs/adr/0009)."""
    for name in ("it", "it-pending"):
        place.client.set_secret(name, "{}")
    store = place.open()
    store.recover("it", NOW)
    assert store.versions("it").all == () and store.delivery_drift("it") is None
    assert polling_source.parse_version("it", "1", "{}") is None
    value = publish(place, V[1])
    assert place.delivered() == dict(value) and store.delivery_drift("it") is None


def test_an_edit_is_not_overwritten_by_a_publish_that_begins_after_it(place: LiveVault) -> None:
    value = publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    place.edit(value["password"], "typed-by-a-person")
    with pytest.raises(StoreError, match=r"\[value-edited\]"):
        place.open().publish("it", V[2], NOW)
    assert place.delivered()["password"] == "typed-by-a-person"


def test_edit_during_a_publish_is_reported_once_and_kept(place: LiveVault, caplog: pytest.LogCaptureFixture) -> None:
    value, new = publish(place, V[1]), make()
    place.open().add("it", version(V[2]), new)
    while_the_vault_writes(place, lambda: place.edit(value["password"], "typed-by-a-person"))
    with caplog.at_level(logging.WARNING):
        place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(new), "no write is refused for what came in between"
    reported = re.search(r"version (\w+), which secretops did not write", caplog.text)
    assert reported
    assert "typed-by-a-person" in (place.client.get_secret("it", reported[1]).value or "")
    caplog.clear()
    publish(place, V[3])
    assert caplog.text == "", "once"


def test_next_tick_takes_back_a_late_write_of_a_writer_without_the_lease(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    times = [1_800_000_000.0]
    place.vault.clock = lambda: times[-1]
    publish(place, V[1])
    late, new = make(), make()
    place.open().add("it", version(V[2], "b"), late)

    def follow() -> None:
        follows(place, monkeypatch)
        publish(place, V[3], new)
        assert place.delivered() == dict(new)
        times.append(times[-1] + 1)

    store = place.open(timing=NOT_RENEWED)
    with store.lease("who was held up"):
        while_the_vault_writes(place, follow)
        with pytest.raises(LeaseLostError):
            store.publish("it", V[2], NOW)
    assert place.delivered() == dict(late), "Key Vault refuses it not"
    store = place.open()
    assert store.delivery_drift("it")
    assert [(one.id, one.stage) for one in store.versions("it").all] == [(V[1], "previous"), (V[3], "current")]
    with caplog.at_level(logging.WARNING):
        store.recover("it", NOW + timedelta(hours=1))
    assert V[2] in caplog.text and V[3] in caplog.text
    assert place.delivered() == dict(new) and store.delivery_drift("it") is None
    assert [(one.id, one.published) for one in store.versions("it").all] == [(V[1], NOW), (V[3], NOW)]
    assert place.keeps(late["password"]) == []


def roll_back(place: LiveVault, name: str, **changes: str) -> None:
    """Create a new version from an older one, as a person would, with the same value and attributes."""
    made = next(one for one in place.all_versions() if (one.tags or {}).get(f"{PREFIX}id") == name)
    if not made.enabled:
        place.client.update_secret_properties("it", made.version, enabled=True)
    value = {**json.loads(place.client.get_secret("it", made.version).value or ""), **changes}
    later = time.time() + 5  # Key Vault's times have a resolution of seconds
    place.vault.clock = lambda: later
    place.client.set_secret("it", json.dumps(value), tags=made.tags)


def test_edited_value_with_our_tags_is_no_rollback(place: LiveVault) -> None:
    for each in (1, 2):
        publish(place, V[each])
    roll_back(place, V[1], password="typed-by-a-person")
    with pytest.raises(StoreError, match=r"\[value-edited\]"):
        place.open().recover("it", NOW)
    assert place.delivered()["password"] == "typed-by-a-person"


def test_current_version_disabled_by_hand_is_replaced_by_a_publish(place: LiveVault) -> None:
    publish(place, V[1])
    place.clear()
    with pytest.raises(store_errors.RemovedError, match="--enabled true"):
        place.open().recover("it", NOW)
    assert place.delivered()["password"] is None
    new = publish(place, V[2])
    assert place.delivered() == dict(new)


def test_forget_reports_what_remains_without_purging(place: LiveVault, caplog: pytest.LogCaptureFixture) -> None:
    place.vault.purge_protection = True
    old = publish(place, V[1])
    with caplog.at_level(logging.WARNING):
        place.open().forget("it")
    assert "purge protection" in caplog.text
    assert place.open().versions("it").all == ()
    assert place.open().secret_names() == (), "else each purge of all would name it until its retention is over"
    new = publish(place, V[2])
    assert place.delivered() == dict(new), "it is brought back for the next value"
    assert [one.id for one in place.open().versions("it").all] == [V[2]]
    assert place.keeps(old["password"]) == []


def test_pending_version_deleted_by_hand_is_neither_restored_nor_purged(place: LiveVault) -> None:
    """The deleted version is unused after the publish, like the versions that secretops deletes itself."""
    publish(place, V[1])
    place.client.begin_delete_secret("it-pending").wait()
    with pytest.raises(StoreError, match="it-pending in kv-"):
        place.open().add("it", version(V[2]), make())
    place.open().forget("it")
    assert place.open().secret_names() == ()
    assert [one["id"].rpartition("/")[2] for one in place.vault.all_deleted()[0]] == ["it-pending"]


@pytest.mark.slow
def test_a_purge_killed_at_any_request_is_never_undone(azure: Azure) -> None:
    """The next tick completes the purge, unless it had not begun."""
    moment, killed, begun = 0, True, False
    while killed:
        place = LiveVault.at(azure)
        values = [publish(place, V[number]) for number in (1, 2)]
        store = place.open()
        store.add("it", version(V[3]), make())
        killed = place.killed_at(place.open_and_forget, moment)
        begun = begun or store.versions("it").current is None
        assert store.secret_names() == ("it",) or place.vault.all_deleted()[0] == [], "a purge of all finds it again"
        store.recover("it", NOW)
        assert place.delivered() == (dict.fromkeys(FIELDS) if begun else dict(values[1]))
        for value in values if begun else []:
            assert place.keeps(value["password"]) == []
        moment += 1
    assert begun
    assert moment > 8, "some moments are missed"


def test_version_made_twice_counts_as_one_and_both_copies_are_forgotten(place: LiveVault, impatient: None) -> None:
    publish(place, V[1])
    value = make()
    place.vault.faults += [
        losing_the_answer("SetSecret", secret="it-pending"),
        losing_the_answer("SetSecret", secret="it"),
    ]
    store = place.again().open()
    store.add("it", version(V[2]), value)
    assert len(place.all_versions("it-pending")) == 3
    store.mark("it", V[2], verified=NOW)
    store.publish("it", V[2], NOW)
    assert len(place.all_versions()) == 3
    assert place.delivered() == dict(value)
    assert [one.id for one in store.versions("it").all] == [V[1], V[2]]
    assert [one for one in place.all_versions("it-pending") if one.enabled] == []
    publish(place, V[3])
    place.open().mark("it", V[2], retired=NOW)
    assert place.keeps(value["password"]) == []
    previous = place.open().versions("it").previous
    assert previous and (previous.id, previous.verified, previous.retired) == (V[2], NOW, NOW)


@pytest.mark.parametrize(
    "fault", [throttling(times=100, retry_after=3600), losing_the_answer(times=100)], ids=["429", "a closed connection"]
)
def test_unavailable_vault_is_retried_a_few_times(place: LiveVault, impatient: None, fault: Fault) -> None:
    value = publish(place, V[1])
    client = place.clients.vault(place.location.vault)
    place.vault.faults.append(replace(fault, operation="GetSecret", times=2))
    assert place.open(client=client).read("it", V[1], purpose="test") == value, "two are got over"
    place.vault.faults[:] = [replace(fault, operation="GetSecret")]
    with pytest.raises(UnreachableError) as caught:
        place.open(client=client).read("it", V[1], purpose="test")
    assert caught.value.remedy
    place.vault.faults.clear()


@pytest.mark.parametrize(
    ("refusal", "kind", "named"),
    [
        (Refusal(403, "Forbidden", "from the stand-in", "ForbiddenByFirewall"), StoreError, "private endpoint"),
        (Refusal(403, "Forbidden", "from the stand-in"), StoreError, "Secrets Officer"),
        (Refusal(409, "Conflict", "from the stand-in", "ObjectIsBeingDeleted"), UnreachableError, "it-pending"),
        (Refusal(400, "BadParameter", "from the stand-in"), StoreError, "BadParameter"),
    ],
    ids=["firewall", "no role", "being deleted", "anything else"],
)
def test_refusal_of_azure_is_reported_with_a_remedy_only(
    place: LiveVault, impatient: None, refusal: Refusal, kind: type[SecretopsError], named: str
) -> None:
    store = place.again().open()
    place.vault.faults.append(Fault(refusal=refusal, operation="SetSecret", times=10))
    with pytest.raises(kind, match=named) as caught:
        store.add("it", version(V[1]), make())
    assert caught.value.remedy and "stand-in" not in str(caught.value)
    assert caught.value.__cause__ is None
    place.vault.faults.clear()


def test_azure_identitys_own_chain_leads_to_the_store(place: LiveVault, azure_environment: Principal) -> None:
    value = publish(place, V[1])
    place.vault.access.grant(azure_environment.oid, SECRETS_OFFICER)
    store = KeyVaultVersionStore(place.location)
    assert store.read("it", V[1], purpose="test") == value


@pytest.fixture
def operator(place: LiveVault, azure_environment: Principal, monkeypatch: pytest.MonkeyPatch) -> Principal:
    monkeypatch.setattr(api, "RETRIES", 0)
    place.vault.access.grant(azure_environment.oid, SECRETS_OFFICER)
    return azure_environment


def looked_at(place: LiveVault, **changes: str) -> doctors.Vault:
    found = doctors.Vault(place.location.model_copy(update=changes))
    found.lease = place.blob
    return found


@pytest.mark.usefixtures("operator")
def test_doctor_sees_versions_deleted_secrets_and_secrets_of_others(place: LiveVault) -> None:
    publish(place, V[1])
    client = looked_at(place).api.client
    client.begin_delete_secret("it-pending").wait()
    client.set_secret("old-key", '{"api-key": "typed"}')
    client.set_secret("forgotten", "{}", enabled=False)

    found = looked_at(place)
    found.reach()
    assert list(found.forbidden()) == []
    assert found.states["it"].versions.current and not found.states["other"].versions.all
    assert found.deleted().keys() == {"it-pending"}
    assert found.undeclared() == ["old-key"]
    assert found.ahead is not None and abs(found.ahead.total_seconds()) < 60


def test_forbidden_secrets_are_named_and_the_vault_counts_as_reachable(place: LiveVault, operator: Principal) -> None:
    for each in list(place.vault.access.assignments):
        place.vault.access.revoke(each)
    place.vault.access.grant(operator.oid, SECRETS_OFFICER, "it")

    found = looked_at(place)
    found.reach()
    missing = list(found.forbidden())
    assert len(missing) == 3 and all(isinstance(one, ForbiddenError) for one in missing)


@pytest.mark.usefixtures("operator")
def test_vault_of_another_tenant_is_reported_and_gets_no_login(place: LiveVault) -> None:
    theirs, before = "00000000-0000-0000-0000-00000000ffff", len(place.vault.audit)
    location: AzureStoreLocation = place.location.model_copy(update={"tenant": theirs})
    with pytest.raises(UsageError, match=place.location.tenant):
        KeyVaultVersionStore(location).add("it", version(V[1]), make())
    with pytest.raises(UsageError):
        looked_at(place, tenant=theirs).reach()
    assert not [
        row for row in place.vault.audit[before:] if row["Identity"].get("claim") or row["HttpStatusCode"] != 401
    ]
