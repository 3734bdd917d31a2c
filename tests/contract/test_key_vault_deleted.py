"""The Azure store and deleted secrets: what it purges, what it brings back, and what it can't."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import StoreError, UnreachableError
from secretops.stores.key_vault import api
from secretops.stores.key_vault.api import Api
from secretops.stores.leases import LostError
from tests.contract.live_key_vault import NOW, LiveVault, V, followed, make, publish, version
from tests.contract.places import FIELDS
from tests.real.azure import Azure
from tests.real.azure_clients import AzureClients
from tools.key_vault.roles import SECRETS_OFFICER

pytestmark = pytest.mark.real


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


def test_forgetting_purges_where_the_vault_allows_it(place: LiveVault) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    assert place.open().kept() == ("it",)
    place.open().forget("it")
    assert place.open().kept() == ()
    assert place.vault.all_deleted()[0] == []


def test_where_the_vault_is_protected_from_purging_forgetting_disables_deletes_and_says_what_remains(
    place: LiveVault, caplog: pytest.LogCaptureFixture
) -> None:
    place.vault.purge_protection = True
    old = publish(place, V[1])
    with caplog.at_level(logging.WARNING):
        place.open().forget("it")
    assert "protected from purging" in caplog.text
    assert place.open().versions("it").all == ()
    assert place.open().kept() == (), "else each purge of all would name it until its retention is over"
    new = publish(place, V[2])
    assert place.delivered() == dict(new), "it is brought back for the next value"
    assert [one.id for one in place.open().versions("it").all] == [V[2]]
    assert place.keeps(old["password"]) == []


def test_what_a_person_deleted_of_what_is_pending_is_neither_brought_back_nor_purged(place: LiveVault) -> None:
    """Its newest version is nobody's after each publish, as those are that secretops deletes itself."""
    publish(place, V[1])
    place.client.begin_delete_secret("it-pending").wait()
    with pytest.raises(StoreError, match="it-pending in kv-"):
        place.open().add("it", version(V[2]), make())
    place.open().forget("it")
    assert place.open().kept() == ()
    assert [one["id"].rpartition("/")[2] for one in place.vault.all_deleted()[0]] == ["it-pending"]


def test_who_may_not_look_at_what_is_deleted_says_so_and_an_operator_brings_it_back(
    place: LiveVault, caplog: pytest.LogCaptureFixture
) -> None:
    place.vault.access.reaches_deleted = False
    old = publish(place, V[1])
    with caplog.at_level(logging.WARNING):
        place.open().forget("it")
    assert caplog.text.count("az keyvault secret purge") == 2
    assert {one["id"].rpartition("/")[2] for one in place.vault.all_deleted()[0]} == {"it", "it-pending"}
    assert place.open().kept() == ()
    with pytest.raises(StoreError, match="by an operator"):
        place.open().add("it", version(V[2]), make())
    operator = place.azure.principal("operator")
    place.vault.access.grant(operator.oid, SECRETS_OFFICER)
    new = make()
    store = place.open(client=AzureClients(place.azure.environment(operator)).vault(place.location.vault))
    store.add("it", version(V[2]), new)
    store.publish("it", V[2], NOW)
    assert place.delivered() == dict(new)
    assert place.keeps(old["password"]) == []


@pytest.mark.slow
@pytest.mark.parametrize("then", ["settle", "add"])
def test_a_purge_killed_at_any_request_is_never_undone(azure: Azure, then: str) -> None:
    """By the next tick it is ended, or had not begun; and so it is by an operator who puts again."""
    moment, killed, begun = 0, True, False
    while killed:
        place = LiveVault.at(azure)
        values = [publish(place, V[number]) for number in (1, 2)]
        store = place.open()
        store.add("it", version(V[3]), make())
        killed = place.killed_at(place.open_and_forget, moment)
        begun = begun or store.versions("it").current is None
        assert store.kept() == ("it",) or place.vault.all_deleted()[0] == [], "a purge of all finds it again"
        if then == "settle":
            store.settle("it", NOW)
            assert place.delivered() == (dict.fromkeys(FIELDS) if begun else dict(values[1]))
        else:
            new = publish(place, V[4])
            assert place.delivered() == dict(new)
            assert [one.id for one in store.versions("it").all] == ([V[4]] if begun else [V[2], V[4]])
        for value in values if begun else []:
            assert place.keeps(value["password"]) == []
        moment += 1
    assert begun
    assert moment > 8, "some moments are missed"


@pytest.mark.parametrize("method", ["delete", "purge", "recover"])
def test_who_was_followed_neither_deletes_nor_purges_nor_brings_back(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    """Each is asked for anew, and not on the strength of the requests before it."""
    publish(place, V[1])
    store, act = place.open(), getattr(Api, method)
    if method == "recover":
        place.vault.purge_protection = True
        store.forget("it")

    def after_being_followed(self: Api, name: str) -> None:
        followed(place)
        act(self, name)

    with store.lease("who was held up"):
        monkeypatch.setattr(Api, method, after_being_followed)
        before = len(place.vault.audit)
        with pytest.raises(LostError):
            if method == "recover":
                store.add("it", version(V[2]), make())
            else:
                store.forget("it")
    done = f"Secret{method.capitalize()}"
    assert done not in {row["OperationName"] for row in place.vault.audit[before:]}


def test_a_deletion_that_somebody_undoes_is_not_waited_for_for_ever(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api, "LONGEST_CHANGE", 0.2)
    monkeypatch.setattr(api, "LOOK", 0.05)
    publish(place, V[1])
    store = place.open()

    def undo() -> None:
        if len(place.vault.all_deleted()[0]) == 1:
            place.vault.around_write.clear()
            place.vault.purge("it-pending")

    place.vault.around_write.append(undo)
    with pytest.raises(UnreachableError, match="it-pending in kv-"):
        store.forget("it")
    store.forget("it")
    assert place.vault.all_deleted()[0] == []
