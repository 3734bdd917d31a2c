"""What a person does in the mount of a real OpenBao stays, or is taken for what it is; what a crash left is told apart.

Also what a document and a note hold at most, and how what left the stack is found without a right to list.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.engine.state import Stage
from secretops.errors import StoreError, UsageError
from secretops.stores.vault.documents import VERSION
from secretops.stores.vault.notes import LONGEST_NOTE
from tests.contract.live_vault import NOW, V, make, publish, stages, version
from tests.contract.vault_place import InMount
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real

HOUR = timedelta(hours=1)


@pytest.fixture
def place(openbao: OpenBao, tmp_path: Path) -> InMount:
    return InMount.at(openbao, tmp_path / "place")


def test_an_older_version_that_a_person_gave_again_is_taken_for_a_rollback_and_dated_when_it_was_found(
    place: InMount,
) -> None:
    old, new = publish(place, V[1]), publish(place, V[2])
    place.write("it", place.document("it", 1))
    versions = place.open().versions("it")
    assert stages(place) == {V[1]: Stage.CURRENT, V[2]: Stage.PREVIOUS}
    assert versions.current and versions.current.published is None, "nobody knows since when"
    assert place.open().astray("it") is None
    place.open().settle("it", NOW + HOUR)
    current = place.open().versions("it").current
    assert current and (current.id, current.published) == (V[1], NOW + HOUR)
    assert place.delivered() == dict(old)
    assert place.keeps(old["password"]) == ["it 3"], "one document of it is enough"
    assert place.open().read("it", V[2], purpose="test") == new
    newest = publish(place, V[3])
    assert place.delivered() == dict(newest)
    assert stages(place) == {V[1]: Stage.PREVIOUS, V[3]: Stage.CURRENT}


def test_a_current_version_that_a_person_deleted_stays_deleted_until_they_say_otherwise(place: InMount) -> None:
    value = publish(place, V[1])
    place.clear()
    with pytest.raises(StoreError, match=f"bao kv undelete -mount={place.mount} -versions=1 it"):
        place.open().settle("it", NOW)
    assert place.delivered()["password"] is None
    assert place.open().astray("it")
    place.client.secrets.kv.v2.undelete_secret_versions("it", [1], mount_point=place.mount)
    place.open().settle("it", NOW)
    assert place.delivered() == dict(value)
    place.clear()
    new = publish(place, V[2])
    assert place.delivered() == dict(new), "another one takes its place"


def test_what_left_the_stack_is_found_without_a_right_to_list_and_forgotten(place: InMount) -> None:
    value = publish(place, V[1])
    without = place.location.model_copy(update={"secrets": {}, "pending": {}, "fields": {}})
    store = place.open(without)
    assert store.kept() == ("it",)
    assert [one.id for one in store.versions("it").all] == [V[1]]
    store.forget("it")
    assert (store.kept(), place.metadata(), place.keeps(value["password"])) == ((), {}, [])


@pytest.mark.slow
def test_a_purge_killed_anywhere_is_never_undone(openbao: OpenBao, tmp_path: Path) -> None:
    begun, number = False, 0
    while True:
        place = InMount.at(openbao, tmp_path / f"{number}")
        value, pending = publish(place, V[1]), make()
        place.open().add("it", version(V[2]), pending)
        was_killed = place.killed_at(lambda place=place: place.open().forget("it"), number)  # type: ignore[misc]
        begun = begun or place.open().versions("it").current is None
        place.open().settle("it", NOW)
        assert place.delivered() == (dict.fromkeys(value) if begun else dict(value)), number
        if begun:
            assert place.open().versions("it").all == ()
            assert place.keeps(pending["password"]) == place.keeps(value["password"]) == []
        if not was_killed:
            break
        number += 1
    assert begun and number >= 4


@pytest.mark.parametrize(
    ("user", "fields"),
    [("u" * LONGEST_NOTE, {}), ("a", {VERSION: "mine"})],
    ids=["too long a name", "a field of our own name"],
)
def test_what_a_document_or_a_note_can_not_hold_is_refused_and_nothing_is_kept(
    place: InMount, user: str, fields: dict[str, str]
) -> None:
    publish(place, V[1])
    with pytest.raises(UsageError):
        place.open().add("it", version(V[2], user), make(**fields))
    assert (stages(place), place.metadata("pending/it")) == ({V[1]: Stage.CURRENT}, {})
