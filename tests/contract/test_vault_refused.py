"""What a server of Vault or OpenBao refuses, and when: told clearly, nothing lost, and all well once it is back.

The server is a real OpenBao. Sealing it, revoking a token and stopping it happen between two requests of the store's.
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
from secretops.stores.leases import LostError
from secretops.stores.vault import VaultVersionStore, server
from secretops.stores.vault.api import Api
from secretops.stores.vault.errors import DeniedError
from secretops.stores.vault.login import Login
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
