"""What only the Azure store keeps, and how: versions, their tags, the journal. A stand-in that keeps to Azure's
description is the vault, Azurite the lease's blob.

What every store does is in test_stores.py; edits, requests that fail, deletions and the lease have files of their own.
"""

from __future__ import annotations

import itertools
import json
import logging
from datetime import timedelta

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.engine.journal import Entry
from secretops.engine.state import Stage
from secretops.errors import UsageError
from secretops.stores.key_vault.tags import PREFIX
from secretops.stores.leases import LostError
from tests.contract.live_key_vault import (
    NOW,
    LiveVault,
    V,
    current,
    followed,
    follows,
    less_patient,
    make,
    publish,
    version,
)
from tests.real.azure import Azure
from tests.real.azure_clients import OwnConnections
from tools.key_vault.faults import failing

pytestmark = pytest.mark.real


@pytest.fixture
def place(azure: Azure) -> LiveVault:
    return LiveVault.at(azure)


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


@pytest.mark.slow
def test_a_crash_between_any_two_requests_of_a_whole_rotation_leaves_what_the_next_one_converges_from(
    azure: Azure,
) -> None:
    for moment in itertools.count():
        place = LiveVault.at(azure)
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


def test_a_publication_does_not_rest_on_a_renewal_however_recent_it_is(place: LiveVault) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    store, before = place.open(), len(place.requests("SecretSet"))
    with store.lease("who was held up"):
        followed(place)
        with pytest.raises(LostError):
            store.publish("it", V[2], NOW)
    assert len(place.requests("SecretSet")) == before


@pytest.mark.parametrize("step", ["publish", "mark"])
def test_who_was_followed_between_two_attempts_of_a_write_does_not_make_the_second(
    place: LiveVault, impatient: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The SDK asks again, for more than a minute; the lease is for half of one."""
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    fault, new = failing({"publish": "SetSecret", "mark": "UpdateSecret"}[step], secret="it"), make()
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
            with pytest.raises(LostError):
                if step == "publish":
                    store.publish("it", V[2], NOW)
                else:
                    store.mark("it", V[1], verified=NOW)
        finally:
            OwnConnections.around_write.clear()
    assert place.delivered() == dict(new)
    assert [one.verified for one in place.open().versions("it").all] == [None, None]


@pytest.mark.parametrize(
    ("user", "password"), [("u" * 257, "short"), ("u", "x" * 26_000)], ids=["the user's name", "the value"]
)
def test_what_a_tag_or_a_secret_can_not_hold_is_refused_and_nothing_is_kept(
    place: LiveVault, user: str, password: str
) -> None:
    publish(place, V[1])
    before = len(place.vault.audit)
    with pytest.raises(UsageError):
        place.open().add("it", version(V[2], user), make(password=password))
    assert not [row for row in place.vault.audit[before:] if not row["OperationName"].startswith("SecretList")]


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
