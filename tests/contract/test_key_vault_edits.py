"""What people do in the vault, and what comes there late: what readers find is none, or not the last, of ours."""

from __future__ import annotations

import json
import logging
import re
import time
from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import NotFoundError, StoreError
from secretops.stores.key_vault.tags import PREFIX
from tests.contract.live_key_vault import (
    DEADLINE,
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
from tests.contract.places import FIELDS, InVault
from tests.real.azure import Azure

pytestmark = pytest.mark.real


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, azure: Azure) -> LiveVault:
    return LiveVault(InVault.fresh(request, tmp_path), azure)


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
    told = re.search(r"somebody made version (\w+) while [\s\S]*secretops put it", caplog.text)
    assert told
    assert "typed-by-a-person" in (place.client.get_secret("it", told[1]).value or "")
    caplog.clear()
    publish(place, V[3])
    assert caplog.text == "", "once"


def test_a_rollback_that_comes_while_a_publish_is_under_way_is_told(
    place: LiveVault, caplog: pytest.LogCaptureFixture
) -> None:
    old, new = publish(place, V[1]), make()
    made = place.all_versions()[0]
    place.open().add("it", version(V[2]), new)
    while_the_vault_writes(
        place, lambda: place.client.set_secret("it", json.dumps(dict(old)), tags=made.tags, content_type="mine")
    )
    with caplog.at_level(logging.WARNING):
        place.open().publish("it", V[2], NOW)
    theirs = next(one.version for one in place.all_versions() if one.content_type == "mine")
    assert f"somebody made version {theirs} while {V[2]} was published" in caplog.text
    assert place.delivered() == dict(new)


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
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.publish("it", V[2], NOW)
    assert place.delivered() == dict(late), "Key Vault refuses it not"
    store = place.open()
    assert store.astray("it") == "not delivered: secretops tick"
    assert [(one.id, one.stage) for one in store.versions("it").all] == [(V[1], "previous"), (V[3], "current")]
    with caplog.at_level(logging.WARNING):
        store.settle("it", NOW + timedelta(hours=1))
    assert f"version {V[2]} came after it was replaced; {V[3]} is given again" in caplog.text
    assert place.delivered() == dict(new) and store.astray("it") is None
    assert [(one.id, one.published) for one in store.versions("it").all] == [(V[1], NOW), (V[3], NOW)]
    assert place.keeps(late["password"]) == []
    before = len(place.all_versions())
    store.settle("it", NOW + timedelta(hours=2))
    assert len(place.all_versions()) == before


@pytest.mark.parametrize("retired", [False, True], ids=["the previous one", "a retired one"])
def test_what_the_follower_had_published_itself_and_replaced_is_no_rollback_when_it_comes_late(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, retired: bool
) -> None:
    """A follower first finishes what is pending: the very version that is still on its way."""
    times = [1_800_000_000.0]
    place.vault.clock = lambda: times[-1]
    publish(place, V[1])
    late, new, store = make(), make(), place.open(timing=NOT_RENEWED)
    place.open().add("it", version(V[2], "b"), late)

    def follow() -> None:
        follows(place, monkeypatch)
        other = place.open()
        other.publish("it", V[2], NOW)
        times.append(times[-1] + 60)
        other.mark("it", V[1], retired=NOW)
        publish(place, V[3], new)
        if retired:
            other.mark("it", V[2], retired=NOW)
        times.append(times[-1] + 5)

    with store.lease("who was held up"):
        while_the_vault_writes(place, follow)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.publish("it", V[2], NOW)
    assert place.delivered() == dict(late)
    store = place.open()
    kept = [(V[2], "previous", NOW if retired else None), (V[3], "current", None)]
    assert [(one.id, one.stage, one.retired) for one in store.versions("it").all] == kept
    assert store.astray("it") == "not delivered: secretops tick"
    with caplog.at_level(logging.WARNING):
        store.settle("it", NOW + timedelta(hours=1))
    assert f"version {V[2]} came after it was replaced; {V[3]} is given again" in caplog.text
    assert place.delivered() == dict(new) and store.astray("it") is None
    assert [(one.id, one.stage, one.retired) for one in store.versions("it").all] == kept
    assert len(place.keeps(late["password"])) == (0 if retired else 1)


def test_what_was_given_up_is_not_pending_again_when_it_comes_once_more(place: LiveVault) -> None:
    """An attempt that Azure did not answer, and that it carries out after the one that it did."""
    publish(place, V[1])
    store, value = place.open(), make()
    store.add("it", version(V[2]), value)
    sent = next(one.tags for one in place.all_versions("it-pending") if one.enabled)
    store.discard("it", V[2])
    place.client.set_secret("it-pending", json.dumps(dict(value)), tags=sent)
    assert store.versions("it").pending is None
    store.settle("it", NOW)
    assert place.keeps(value["password"]) == []


def test_what_was_to_be_prepared_and_comes_after_another_was_published_is_not_pending(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = [1_800_000_000.0]
    place.vault.clock = lambda: times[-1]
    publish(place, V[1])
    late, store = make(), place.open(timing=NOT_RENEWED)

    def follow() -> None:
        follows(place, monkeypatch)
        publish(place, V[3])
        times.append(times[-1] + 5)

    with store.lease("who was held up"):
        while_the_vault_writes(place, follow)
        with pytest.raises(StoreError, match="not ours any more"):
            store.add("it", version(V[2]), late)
            store.confirm()
    store = place.open()
    assert place.keeps(late["password"]), "Key Vault refuses it not"
    assert store.versions("it").pending is None
    store.settle("it", NOW)
    assert place.keeps(late["password"]) == []


def test_the_way_back_that_an_edit_is_told_with_works(place: LiveVault) -> None:
    value = publish(place, V[1])
    place.edit(value["password"], "typed-by-a-person")
    with pytest.raises(StoreError) as refused:
        place.open().settle("it", NOW)
    command = refused.value.remedy.partition("(")[2].partition(")")[0].split()
    assert command[:4] == ["az", "keyvault", "secret", "set-attributes"]
    vault, _, path = command[5].partition("/secrets/")
    assert (command[4], vault, command[6:]) == ("--id", place.location.vault, ["--enabled", "false"])
    place.client.update_secret_properties(*path.split("/"), enabled=False)
    place.open().settle("it", NOW)
    assert place.delivered() == dict(value)


def test_a_current_version_that_a_person_disabled_is_not_given_back_and_the_next_one_is_published(
    place: LiveVault,
) -> None:
    publish(place, V[1])
    place.clear()
    store = place.open()
    told = store.astray("it")
    assert told and "is disabled, and readers find nothing" in told
    with pytest.raises(StoreError, match=r"is disabled[\s\S]*secretops rotate it"):
        store.settle("it", NOW)
    assert place.delivered() == dict.fromkeys(FIELDS)
    new = publish(place, V[2])
    assert place.delivered() == dict(new)
    assert place.open().astray("it") is None


def test_whoever_disabled_ours_and_made_theirs_has_edited_it_and_puts_it_to_keep_it(place: LiveVault) -> None:
    publish(place, V[1])
    place.clear()
    theirs = make()
    place.client.set_secret("it", json.dumps(dict(theirs)))
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().settle("it", NOW)
    place.open().add("it", version(V[2]), make())
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(theirs)
    publish(place, V[3], theirs)
    assert place.open().astray("it") is None and place.delivered() == dict(theirs)


def test_what_is_retired_or_given_up_is_nobodys_even_where_somebody_enables_it_again(place: LiveVault) -> None:
    for number in (1, 2):
        publish(place, V[number])
    store = place.open()
    store.mark("it", V[1], retired=NOW)
    store.add("it", version(V[3]), make())
    store.discard("it", V[3])
    for name in ("it", "it-pending"):
        for one in place.all_versions(name):
            place.client.update_secret_properties(name, one.version, enabled=True)
    assert place.open().versions("it").pending is None
    with pytest.raises(NotFoundError):
        place.open().read("it", V[1], purpose="test")
    place.open().settle("it", NOW)
    by_id = {(one.tags or {}).get(f"{PREFIX}id"): one.enabled for one in place.all_versions()}
    assert by_id == {V[1]: False, V[2]: True}
    previous = place.open().versions("it").previous
    assert previous and previous.retired == NOW


def roll_back(place: LiveVault, name: str, **changes: str) -> None:
    """What a person does who makes the newest version of an older one: its value, and all that is written to it."""
    made = next(one for one in place.all_versions() if (one.tags or {}).get(f"{PREFIX}id") == name)
    if not made.enabled:
        place.client.update_secret_properties("it", made.version, enabled=True)
    value = {**json.loads(place.client.get_secret("it", made.version).value or ""), **changes}
    newest = max(one.created_on for one in place.all_versions()).timestamp()
    end = time.monotonic() + DEADLINE
    while time.time() < newest + 1 and time.monotonic() < end:  # Key Vault's times are to the second
        time.sleep(0.05)
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


def test_what_was_rolled_back_to_by_hand_is_the_previous_one_of_what_is_published_next(place: LiveVault) -> None:
    for number in (1, 2):
        publish(place, V[number])
    place.open().add("it", version(V[3]), make())
    roll_back(place, V[1])
    place.open().publish("it", V[3], NOW + timedelta(hours=9))
    assert [one.id for one in place.open().versions("it").all] == [V[1], V[3]]


def test_a_rollback_by_hand_to_a_retired_version_is_told_and_takes_nothing_from_the_current_one(
    place: LiveVault,
) -> None:
    values = [publish(place, V[number]) for number in (1, 2)]
    store = place.open()
    store.mark("it", V[1], retired=NOW)
    roll_back(place, V[1])
    versions = store.versions("it")
    assert versions.current and versions.current.id == V[2]
    assert "is retired" in (store.astray("it") or "")
    with pytest.raises(StoreError, match=r"changed by hand: version \w+ is retired"):
        store.settle("it", NOW)
    store.add("it", version(V[3]), make())
    assert place.delivered() == dict(values[0]), "it is theirs until somebody decides"
    store.discard("it", V[3])
    place.clear()
    store.settle("it", NOW)
    assert place.delivered() == dict(values[1])


@pytest.mark.parametrize("number", [1, 2], ids=["the previous one", "the current one"])
def test_a_value_that_somebody_changed_is_no_rollback_although_it_has_our_tags(place: LiveVault, number: int) -> None:
    for each in (1, 2):
        publish(place, V[each])
    roll_back(place, V[number], password="typed-by-a-person")
    assert "changed by hand" in (place.open().astray("it") or "")
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().settle("it", NOW)
    assert place.delivered()["password"] == "typed-by-a-person"


def test_a_value_that_somebody_changed_has_our_tags_and_is_an_edit_also_where_they_disabled_ours(
    place: LiveVault,
) -> None:
    for each in (1, 2):
        publish(place, V[each])
    ours = next(one.version for one in place.all_versions() if (one.tags or {}).get(f"{PREFIX}id") == V[2])
    roll_back(place, V[2], password="typed-by-a-person")
    place.client.update_secret_properties("it", ours, enabled=False)
    assert "changed by hand" in (place.open().astray("it") or "")
    with pytest.raises(StoreError, match="changed by hand"):
        place.open().settle("it", NOW)
    assert place.delivered()["password"] == "typed-by-a-person"
