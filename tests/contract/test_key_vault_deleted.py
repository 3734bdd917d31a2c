"""The Azure store and deleted secrets: what it purges, what it brings back, and what it can't."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import StoreError
from tests.contract.live_key_vault import NOW, LiveVault, V, make, publish, version
from tests.contract.places import FIELDS
from tests.real.azure import Azure

pytestmark = pytest.mark.real


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


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


