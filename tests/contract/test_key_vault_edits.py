"""What people do in the vault, and what comes there late: what readers find is none, or not the last, of ours."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import timedelta

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import StoreError
from secretops.launcher import polled
from secretops.stores.key_vault.tags import PREFIX
from secretops.stores.leases import LostError
from tests.contract.live_key_vault import (
    NOT_RENEWED,
    NOW,
    LiveVault,
    V,
    follows,
    make,
    publish,
    version,
    while_the_vault_writes,
)
from tests.contract.places import FIELDS
from tests.real.azure import Azure

pytestmark = pytest.mark.real


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


def test_a_secret_that_an_operator_made_with_nothing_in_it_is_no_value_and_no_edit(place: LiveVault) -> None:
    """Should Azure assign no role on a secret that is not there (docs/adr/0023)."""
    for name in ("it", "it-pending"):
        place.client.set_secret(name, "{}")
    store = place.open()
    store.settle("it", NOW)
    assert store.versions("it").all == () and store.astray("it") is None
    assert polled.read("it", "1", "{}") is None
    value = publish(place, V[1])
    assert place.delivered() == dict(value) and store.astray("it") is None


def test_an_edit_is_not_overwritten_by_a_publish_that_begins_after_it(place: LiveVault) -> None:
    value = publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    place.edit(value["password"], "typed-by-a-person")
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().publish("it", V[2], NOW)
    assert place.delivered()["password"] == "typed-by-a-person"


def test_an_edit_that_comes_while_a_publish_is_under_way_is_told_and_kept_for_who_asks_for_it(
    place: LiveVault, caplog: pytest.LogCaptureFixture
) -> None:
    value, new = publish(place, V[1]), make()
    place.open().add("it", version(V[2]), new)
    while_the_vault_writes(place, lambda: place.edit(value["password"], "typed-by-a-person"))
    with caplog.at_level(logging.WARNING):
        place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(new), "no write is refused for what came in between"
    told = re.search(r"somebody made version (\w+)", caplog.text)
    assert told
    assert "typed-by-a-person" in (place.client.get_secret("it", told[1]).value or "")
    caplog.clear()
    publish(place, V[3])
    assert caplog.text == "", "once"


@pytest.mark.parametrize("seconds", [0, 1], ids=["in the same second", "in a later second"])
def test_what_was_sent_before_its_writer_was_followed_and_came_after_is_taken_back_by_the_next_tick(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, seconds: int
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
        times.append(times[-1] + seconds)

    store = place.open(timing=NOT_RENEWED)
    with store.lease("who was held up"):
        while_the_vault_writes(place, follow)
        with pytest.raises(LostError):
            store.publish("it", V[2], NOW)
    assert place.delivered() == dict(late), "Key Vault refuses it not"
    store = place.open()
    assert store.astray("it")
    assert [(one.id, one.stage) for one in store.versions("it").all] == [(V[1], "previous"), (V[3], "current")]
    with caplog.at_level(logging.WARNING):
        store.settle("it", NOW + timedelta(hours=1))
    assert V[2] in caplog.text and V[3] in caplog.text
    assert place.delivered() == dict(new) and store.astray("it") is None
    assert [(one.id, one.published) for one in store.versions("it").all] == [(V[1], NOW), (V[3], NOW)]
    assert place.keeps(late["password"]) == []
    before = len(place.all_versions())
    store.settle("it", NOW + timedelta(hours=2))
    assert len(place.all_versions()) == before


def test_a_current_version_that_a_person_disabled_is_not_given_back_and_the_next_one_is_published(
    place: LiveVault,
) -> None:
    publish(place, V[1])
    place.clear()
    store = place.open()
    assert store.astray("it")
    with pytest.raises(StoreError, match="secretops rotate it"):
        store.settle("it", NOW)
    assert place.delivered() == dict.fromkeys(FIELDS)
    new = publish(place, V[2])
    assert place.delivered() == dict(new)
    assert place.open().astray("it") is None


def roll_back(place: LiveVault, name: str, **changes: str) -> None:
    """What a person does who makes the newest version of an older one: its value, and all that is written to it."""
    made = next(one for one in place.all_versions() if (one.tags or {}).get(f"{PREFIX}id") == name)
    if not made.enabled:
        place.client.update_secret_properties("it", made.version, enabled=True)
    value = {**json.loads(place.client.get_secret("it", made.version).value or ""), **changes}
    later = time.time() + 5  # Key Vault's times are to the second
    place.vault.clock = lambda: later
    place.client.set_secret("it", json.dumps(value), tags=made.tags)


def test_a_rollback_by_hand_is_what_is_current_and_counts_as_published_when_it_is_found(place: LiveVault) -> None:
    found, marked = NOW + timedelta(hours=9), NOW + timedelta(hours=10)
    store, values = place.open(), []
    for number in (1, 2):
        values.append(make())
        store.add("it", version(V[number]), values[-1])
        store.publish("it", V[number], NOW + timedelta(hours=number))
    roll_back(place, V[1])
    versions = store.versions("it")
    assert versions.current and versions.previous
    assert (versions.current.id, versions.previous.id) == (V[1], V[2])
    assert versions.current.published is None, "it is not known since when, until it is noted"
    assert store.astray("it") is None
    store.mark("it", V[1], verified=marked)
    store.settle("it", found)
    store.settle("it", found + timedelta(hours=5))
    versions = store.versions("it")
    assert versions.current and versions.previous
    assert (versions.current.id, versions.current.published, versions.current.verified) == (V[1], found, marked)
    assert versions.previous.published == NOW + timedelta(hours=2)
    assert place.delivered() == dict(values[0])


@pytest.mark.parametrize("number", [1, 2], ids=["the previous one", "the current one"])
def test_a_value_that_somebody_changed_is_no_rollback_although_it_has_our_tags(place: LiveVault, number: int) -> None:
    for each in (1, 2):
        publish(place, V[each])
    roll_back(place, V[number], password="typed-by-a-person")
    assert "changed by hand" in (place.open().astray("it") or "")
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().settle("it", NOW)
    assert place.delivered()["password"] == "typed-by-a-person"
