"""What only the Vault store does, on a real OpenBao: refusals of the server, its lease, and what a person edits there.

What every store does is in test_stores.py.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from hvac.exceptions import InvalidPath

from secretops.engine.state import Stage
from secretops.errors import StoreError, UnreachableError, UsageError
from secretops.stores.leases import LostError, Timing
from secretops.stores.vault import VaultVersionStore, server
from secretops.stores.vault.api import Api
from secretops.stores.vault.documents import VERSION
from secretops.stores.vault.errors import DeniedError
from secretops.stores.vault.login import Login
from secretops.stores.vault.notes import LONGEST_NOTE
from secretops.stores.vault.server import Server
from tests.contract.live_vault import MINE, NOW, V, Way, impatient, make, publish, stages, version
from tests.contract.vault_place import InMount
from tests.real.control_plane import make_keys
from tests.real.openbao import OpenBao, rotators_policy
from tests.real.ports import free_port

pytestmark = pytest.mark.real


@pytest.fixture
def place(openbao: OpenBao, tmp_path: Path) -> InMount:
    return InMount.at(openbao, tmp_path / "place")


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    impatient(monkeypatch)
    return Way(monkeypatch)


@pytest.fixture
def sealable(openbao: OpenBao) -> Iterator[OpenBao]:
    """The server, which is unsealed and runs again however the test ends."""
    yield openbao
    if openbao.is_running:
        openbao.unseal()
    else:
        openbao.start()


@pytest.mark.parametrize("lacking", ["data/it", "destroy/it", "metadata/pending/it"])
def test_a_missing_right_is_told_by_its_path_and_all_converges_once_it_is_granted(
    openbao: OpenBao, place: InMount, lacking: str
) -> None:
    old, newer, newest = publish(place, V[0]), publish(place, V[1]), make()
    rules = rotators_policy(place.location)
    policy = openbao.policy("\n".join(rule for rule in rules.splitlines() if f'/{lacking}"' not in rule))
    store = place.open(token=openbao.token(policy))
    path = lacking.partition("/")[2]
    with pytest.raises(DeniedError, match=f"{place.mount}/{path}"):
        store.add("it", version(V[2]), newest)
        store.publish("it", V[2], NOW)
    assert place.delivered() in (dict(newer), dict(newest))
    openbao.client().sys.create_or_update_policy(policy, rules)
    store.settle("it", NOW)
    store.add("it", version(V[2]), newest)
    store.publish("it", V[2], NOW)
    assert (stages(place), place.delivered()) == ({V[1]: Stage.PREVIOUS, V[2]: Stage.CURRENT}, dict(newest))
    assert place.keeps(old["password"]) == []


def test_a_server_that_restarts_is_waited_for(
    sealable: OpenBao, place: InMount, monkeypatch: pytest.MonkeyPatch
) -> None:
    value = publish(place, V[1])
    sealable.stop()
    pauses, sleep = [], time.sleep

    def pause(seconds: float) -> None:
        if seconds not in server.PAUSES:
            return sleep(seconds)
        pauses.append(seconds)
        if len(pauses) == 2:
            sealable.start()
        return None

    monkeypatch.setattr(time, "sleep", pause)
    store = place.open()
    assert store.read("it", V[1], purpose="test") == value
    assert len(pauses) == 2


def test_another_mount_namespace_or_engine_is_refused_and_no_value_is_written(openbao: OpenBao, place: InMount) -> None:
    client, first = openbao.client(), f"kv1-{secrets.token_hex(4)}"
    client.sys.enable_secrets_engine("kv", path=first, options={"version": "1"})
    for changes, named in (
        ({"mount": "nowhere"}, "no mount nowhere"),
        ({"namespace": "nowhere"}, "no namespace 'nowhere'"),
        ({"mount": first}, "no KV engine of version 2"),
    ):
        location = place.location.model_copy(update=changes)
        at = Server(location.address, location.namespace, location.ca_file)
        other = VaultVersionStore(
            location, Api(at, location.mount, Login(at, environment={"VAULT_TOKEN": openbao.root}))
        )
        with pytest.raises(StoreError, match=named):
            other.add("it", version(V[1]), make())
    with pytest.raises(InvalidPath):  # nothing is in it
        client.secrets.kv.v1.list_secrets("", mount_point=first)


def test_a_store_may_be_in_a_namespace_and_nothing_of_it_is_seen_from_outside(openbao: OpenBao, tmp_path: Path) -> None:
    place = InMount.at(openbao, tmp_path / "place", openbao.namespace())
    value = publish(place, V[1])
    assert place.delivered() == dict(value)
    with place.open().lease("x"):
        place.open().settle("it", NOW)
    outside = place.open(place.location.model_copy(update={"namespace": ""}))
    outside._api = Api(Server(openbao.address, "", str(openbao.ca_file)), place.mount, place.api().login)
    with pytest.raises(StoreError):
        outside.versions("it")


@pytest.mark.usefixtures("way")
def test_what_does_not_prove_to_be_the_server_is_shown_no_token(
    openbao: OpenBao, place: InMount, tmp_path: Path
) -> None:
    make_keys(tmp_path)
    missing = str(tmp_path / "none.crt")

    for changes, kind in (
        ({"ca_file": str(tmp_path / "ca.crt")}, StoreError),
        ({"ca_file": missing}, UsageError),
        ({"address": openbao.address.replace("https", "http")}, UsageError),
        ({"address": "https://"}, UsageError),
        ({"address": f"https://127.0.0.1:{free_port()}"}, UnreachableError),
    ):
        location = place.location.model_copy(update=changes)
        at = Server(location.address, "", location.ca_file)
        with pytest.raises(kind) as told:
            Api(at, place.mount, Login(at, environment={"VAULT_TOKEN": openbao.root})).metadata("it")
        assert told.value.remedy and openbao.root not in str(told.value)


def test_a_document_that_somebody_writes_right_before_ours_is_not_overwritten(place: InMount, way: Way) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), new := make())
    theirs = {"password": MINE}
    way.before("POST data/it", lambda: place.write("it", theirs))
    with pytest.raises(StoreError, match="was changed by hand: version 2 "):
        place.open().publish("it", V[2], NOW)
    assert place.document() == theirs
    assert stages(place) == {V[1]: Stage.CURRENT, V[2]: Stage.PENDING}
    place.clear()
    place.open().publish("it", V[2], NOW)
    assert place.delivered() == dict(new)


def test_a_publication_on_its_way_is_refused_once_whoever_followed_has_prepared_another(
    place: InMount, way: Way
) -> None:
    """Both are for the same user, whose password the follower sets next: what comes late would open nothing."""
    value, late = publish(place, V[1]), make()
    store = place.open()

    def followed() -> None:
        place.write("rotator/lease", {"holder": "the follower", "since": "", "token": "", "renewed": "0"})
        other = place.open()
        other.settle("it", NOW)
        other.add("it", version(V[3]), make())

    with store.lease("the first"):
        store.add("it", version(V[2]), late)
        way.before("POST data/it", followed)
        with pytest.raises(LostError, match="the follower"):
            store.publish("it", V[2], NOW)
    assert (stages(place), place.delivered()) == ({V[1]: Stage.CURRENT, V[3]: Stage.PENDING}, dict(value))
    current = place.open().versions("it").current
    assert current and current.published == NOW
    place.open().publish("it", V[3], NOW)
    assert place.keeps(late["password"]) == []
    notes = place.metadata()["custom_metadata"]
    assert len(notes) == 2 and not any("planned" in text for text in notes.values())


@pytest.mark.parametrize("lost", ["POST data/it", "PATCH metadata/it"])
def test_a_lost_answer_is_asked_for_again_and_nothing_is_written_twice(place: InMount, way: Way, lost: str) -> None:
    publish(place, V[0])
    publish(place, V[1])
    way.lose(lost)
    value, before = make(), way.count(lost)
    place.open().add("it", version(V[2]), value)
    place.open().publish("it", V[2], NOW)
    assert way.count(lost) >= before + 2
    assert (stages(place), place.delivered()) == ({V[1]: Stage.PREVIOUS, V[2]: Stage.CURRENT}, dict(value))
    assert place.metadata()["current_version"] == 3
    assert place.metadata("pending/it") == {}


LEASE = "rotator/lease"
WRITE = f"POST data/{LEASE}"
NOT_RENEWED = Timing(duration=60, renew=3600, look=0.1)
QUICK = Timing(duration=2, renew=3600, look=0.1)
"""Of a holder that does not renew, and is followed soon."""


def test_who_does_not_renew_is_followed_and_writes_no_more(place: InMount) -> None:
    publish(place, V[1])
    first, second = place.open(timing=QUICK), place.open(timing=QUICK)
    first.add("it", version(V[2]), make())
    with first.lease("the first"), second.lease("the second"):
        for act in (
            lambda: first.publish("it", V[2], NOW),
            lambda: first.add("it", version(V[3]), make()),
            lambda: first.read("it", V[1], purpose="test"),
            first.confirm,
        ):
            with pytest.raises(StoreError, match="not ours any more: the second has changed it"):
                act()
        second.publish("it", V[2], NOW)
    assert place.document(LEASE) == {"holder": ""}, "and who was followed frees nobody's lease but its own"


@pytest.mark.parametrize("writes", ["taken", "renewed"])
def test_a_lost_answer_leaves_the_lease_ours(place: InMount, way: Way, writes: str) -> None:
    store = place.open(timing=NOT_RENEWED)
    if writes == "taken":
        way.lose(WRITE)
    with store.lease("the first"):
        if writes == "renewed":
            way.lose(WRITE)
        store.confirm()
        assert place.document(LEASE)["holder"] == "the first"
    assert place.document(LEASE) == {"holder": ""}


def test_a_lease_that_a_person_deleted_or_removed_can_be_taken_again(place: InMount) -> None:
    with place.open().lease("one"):
        pass
    kv = place.client.secrets.kv.v2
    kv.delete_latest_version_of_secret(LEASE, mount_point=place.mount)
    with place.open().lease("two"):
        assert place.document(LEASE)["holder"] == "two"
    kv.delete_metadata_and_all_versions(LEASE, mount_point=place.mount)
    with place.open().lease("three"):
        assert place.document(LEASE)["holder"] == "three"
    place.write(LEASE, {"something": "else"})
    with place.open().lease("four"):
        assert place.document(LEASE)["holder"] == "four"


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
