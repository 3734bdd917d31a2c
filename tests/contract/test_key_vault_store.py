"""What only the Azure store keeps, and how: versions, their tags, the journal. A stand-in that keeps to Azure's
description is the vault, Azurite the lease's blob.

What every store does is in test_stores.py; edits, requests that fail, deletions and the lease have files of their own.
"""

from __future__ import annotations

import itertools
import json
import logging
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.engine.journal import Entry
from secretops.engine.state import Stage
from secretops.errors import StoreError, UsageError
from secretops.stores.key_vault import KeyVaultVersionStore
from secretops.stores.key_vault.api import Api
from secretops.stores.key_vault.tags import LONGEST, PREFIX, with_last
from tests.contract.live_key_vault import (
    NOW,
    LiveVault,
    V,
    current,
    less_patient,
    make,
    publish,
    version,
)
from tests.contract.places import FIELDS, InVault
from tests.real.azure import Azure
from tests.real.azure_clients import OwnConnections
from tools.key_vault.faults import failing

if TYPE_CHECKING:
    pass

pytestmark = pytest.mark.real


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, azure: Azure) -> LiveVault:
    return LiveVault(InVault.fresh(request, tmp_path), azure)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    less_patient(monkeypatch)


def test_a_reader_finds_one_json_object_of_the_fields_that_says_when_the_next_one_is_due(place: LiveVault) -> None:
    value = publish(place, V[1])
    found = place.client.get_secret("it")
    assert json.loads(found.value or "") == dict(value)
    assert found.properties.content_type == "application/json"
    assert found.properties.expires_on == NOW + timedelta(days=90)
    assert (found.properties.tags or {})[f"{PREFIX}id"] == V[1]


def test_a_certificate_is_due_when_it_ends_where_that_is_sooner(place: LiveVault) -> None:
    ends = NOW + timedelta(days=30)
    place.open().add("it", replace(version(V[1]), expires=ends), make())
    place.open().publish("it", V[1], NOW)
    assert place.client.get_secret("it").properties.expires_on == ends


def test_what_is_pending_lies_apart_and_readers_find_nothing_before_it_is_published(place: LiveVault) -> None:
    place.open().add("it", version(V[1]), make())
    assert place.delivered() == dict.fromkeys(FIELDS)
    assert place.open().versions("it").pending == version(V[1])
    assert place.requests("SecretSet") == []
    assert len(place.requests("SecretSet", "it-pending")) == 1


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


def test_a_crash_between_any_two_requests_of_a_whole_rotation_leaves_what_the_next_one_converges_from(
    request: pytest.FixtureRequest, tmp_path: Path, azure: Azure
) -> None:
    for moment in itertools.count():
        place = LiveVault(InVault.fresh(request, tmp_path), azure)
        old = publish(place, V[1])

        def rotate(place: LiveVault = place) -> None:
            store = place.open()
            if all(one.id != V[2] for one in store.versions("it").all):
                store.add("it", version(V[2]), make())
            store.mark("it", V[2], verified=NOW)
            store.publish("it", V[2], NOW)
            store.mark("it", V[1], retired=NOW)

        killed = place.killed_at(rotate, moment)
        now = current(place)
        assert now and now.id in (V[1], V[2])
        assert set(place.delivered().values()) - {None}, "readers find a whole value at every moment"
        assert (place.delivered() == dict(old)) is (now.id == V[1])
        rotate()
        versions = place.open().versions("it")
        assert [one.id for one in versions.all] == [V[1], V[2]]
        assert versions.previous and versions.previous.retired
        assert place.keeps(old["password"]) == []
        assert len([one for one in place.all_versions() if one.enabled]) == 1
        assert [one for one in place.all_versions("it-pending") if one.enabled] == []
        if not killed:
            break
    assert moment >= 10, "5 requests write, and each has two moments"


def test_of_two_versions_within_a_second_the_later_one_is_known(place: LiveVault) -> None:
    place.vault.clock = lambda: 1_800_000_000.0
    values = [publish(place, V[number]) for number in (1, 2, 3)]
    assert place.open().astray("it") is None
    place.edit(values[2]["password"], "typed-by-a-person")
    told = place.open().astray("it")
    assert told and "changed by hand" in told
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().settle("it", NOW)


def test_tags_of_others_stay(place: LiveVault) -> None:
    publish(place, V[1])
    found = place.client.get_secret("it").properties
    place.client.update_secret_properties("it", found.version, tags={**(found.tags or {}), "owner": "team"})
    place.open().mark("it", V[1], verified=NOW)
    place.open().journal.write(Entry(time=NOW, secret="it", version=V[1], step="verify", outcome="done"))
    tags = place.client.get_secret("it").properties.tags or {}
    assert tags["owner"] == "team" and tags[f"{PREFIX}verified"] and len(tags) <= 15


def test_facts_find_room_among_the_tags_of_others_and_the_journals_entry_goes_first(place: LiveVault) -> None:
    publish(place, V[1])
    found = place.client.get_secret("it").properties
    theirs = {f"theirs-{number}": "x" for number in range(8)}
    place.client.update_secret_properties("it", found.version, tags={**(found.tags or {}), **theirs})
    store, entry = place.open(), Entry(time=NOW, secret="it", version=V[1], step="verify", outcome="done")

    def tags() -> dict[str, str]:
        return next((one.tags or {}) for one in place.all_versions() if one.version == found.version)

    store.journal.write(entry)
    assert len(tags()) == 15 and f"{PREFIX}last" in tags()
    store.mark("it", V[1], verified=NOW)
    assert len(tags()) == 15 and f"{PREFIX}last" not in tags() and theirs.keys() <= tags().keys()
    store.journal.write(entry)
    assert f"{PREFIX}last" not in tags()
    publish(place, V[2])
    store.mark("it", V[1], retired=NOW)
    assert theirs.keys() - tags().keys() == {"theirs-7"}
    previous = store.versions("it").previous
    assert previous and (previous.verified, previous.retired) == (NOW, NOW)


def test_what_is_given_again_is_due_when_it_was_before(place: LiveVault) -> None:
    value = publish(place, V[1])
    place.client.set_secret("it", "{}")
    place.open().settle("it", NOW + timedelta(days=60))
    assert place.delivered() == dict(value)
    assert place.client.get_secret("it").properties.expires_on == NOW + timedelta(days=90)


def test_what_is_kept_of_versions_shows_no_value(place: LiveVault) -> None:
    value = publish(place, V[1])
    place.open().mark("it", V[1], verified=NOW)
    texts = [text for one in place.all_versions() for text in (one.tags or {}).values()]
    assert not [text for text in texts for secret in value.values() if secret in text]
    found = Api(place.location.vault, lambda _vault: place.client).value("it")
    assert found and value["password"] in found.text and value["password"] not in repr(found)
    assert not [row for row in place.vault.audit if value["password"] in json.dumps(row)]


@pytest.mark.parametrize(
    ("user", "password", "told"),
    [("u" * 257, "short", "too long"), ("ü" * 50, "short", "too long"), ("u", "x" * 26_000, "26[0-9]* bytes as JSON")],
    ids=["the user's name", "the user's name as it is written", "the value"],
)
def test_what_a_tag_or_a_secret_can_not_hold_is_refused_and_nothing_is_kept(
    place: LiveVault, user: str, password: str, told: str
) -> None:
    publish(place, V[1])
    before = len(place.vault.audit)
    with pytest.raises(UsageError, match=told):
        place.open().add("it", version(V[2], user), make(password=password))
    assert not [row for row in place.vault.audit[before:] if not row["OperationName"].startswith("SecretList")]


@pytest.mark.parametrize("user", [None, "", "ü.b%2F /", "a" * 256])
def test_any_user_is_kept(place: LiveVault, user: str | None) -> None:
    place.open().add("it", version(V[1], user), make())
    assert place.open().versions("it").pending == version(V[1], user)


def test_times_are_kept_to_the_microsecond(place: LiveVault) -> None:
    exact = NOW + timedelta(microseconds=123_456)
    place.open().add("it", version(V[1]), make())
    place.open().publish("it", V[1], exact)
    now = current(place)
    assert now and now.published == exact


def test_more_versions_than_a_page_are_all_seen(place: LiveVault) -> None:
    for number in range(30):
        value = publish(place, f"{number:02}{V[0]}")
    assert [one.id[:2] for one in place.open().versions("it").all] == ["28", "29"]
    assert place.delivered() == dict(value)
    assert len([one for one in place.all_versions() if one.enabled]) == 2


def test_the_last_step_is_found_again_and_does_not_lengthen_with_its_text(
    place: LiveVault, capsys: pytest.CaptureFixture[str]
) -> None:
    store = place.open()
    store.add("it", version(V[1]), make())
    store.journal.write(Entry(time=NOW, secret="it", version=V[1], step="prepare", outcome="done"))
    last = place.open().journal.last("it")
    assert last and last.step == "prepare"
    store.publish("it", V[1], NOW)
    for minute, outcome in enumerate(("done", "the broker\nsaid: 'ü' " + "x" * 500), 1):
        entry = Entry(time=NOW + timedelta(minutes=minute), secret="it", version=V[1], step="apply", outcome=outcome)
        store.journal.write(entry)
        last = store.journal.last("it")
        assert last and last.outcome and outcome.startswith(last.outcome)
        assert (last.time, last.secret, last.version, last.step) == (entry.time, "it", V[1], "apply")
        found = Api(place.location.vault, lambda _vault: place.client).value("it")
        assert found and max(map(len, with_last(found, entry).values())) <= LONGEST
    assert place.open().journal.last("other") is None
    assert place.open().journal.last("no such") is None
    assert capsys.readouterr().err == "", "an operator is told by the command, not by the journal"
    loud = KeyVaultVersionStore(place.location, Api(place.location.vault, lambda _vault: place.client), loud=True)
    loud.journal.write(entry)
    assert json.loads(capsys.readouterr().err)["outcome"] == outcome


def test_a_note_that_can_not_be_kept_undoes_no_step(
    place: LiveVault, impatient: None, caplog: pytest.LogCaptureFixture
) -> None:
    publish(place, V[1])
    place.vault.faults.append(failing("UpdateSecret", times=10))
    with caplog.at_level(logging.WARNING):
        store = place.again().open()
        store.journal.write(Entry(time=NOW, secret="it", version=V[1], step="apply", outcome="done"))
    place.vault.faults.clear()
    assert "is not kept for `secretops status`" in caplog.text
