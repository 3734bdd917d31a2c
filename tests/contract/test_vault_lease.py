"""Who rotates, on a real OpenBao: a document by check-and-set, with renewals, followers and answers that are lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.errors import LeaseHeldError, StoreError
from secretops.stores.leases import Timing
from tests.contract.live_vault import DEADLINE, NOW, V, Way, impatient, make, publish, version
from tests.contract.vault_place import InMount
from tests.real.openbao import OpenBao

pytestmark = pytest.mark.real

LEASE = "rotator/lease"
WRITE = f"POST data/{LEASE}"
NOT_RENEWED = Timing(duration=60, renew=3600, look=0.1)
QUICK = Timing(duration=2, renew=3600, look=0.1)
"""Of a holder that does not renew, and is followed soon."""


@pytest.fixture
def place(openbao: OpenBao, tmp_path: Path) -> InMount:
    return InMount.at(openbao, tmp_path / "place")


@pytest.fixture
def way(monkeypatch: pytest.MonkeyPatch) -> Way:
    impatient(monkeypatch)
    return Way(monkeypatch)


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


def test_of_many_takers_at_once_one_has_it(place: InMount) -> None:
    ready, over = threading.Barrier(6), threading.Event()
    had, told = list[str](), list[BaseException]()

    def take(name: str) -> None:
        ready.wait(DEADLINE)
        try:
            with place.open(timing=Timing(duration=120, renew=0.1, look=0.05)).lease(name):
                had.append(name)
                over.wait(DEADLINE)
        except (LeaseHeldError, StoreError) as error:
            told.append(error)
            if len(told) == 5:
                over.set()

    takers = [threading.Thread(target=take, args=(f"taker {number}",)) for number in range(6)]
    for taker in takers:
        taker.start()
    for taker in takers:
        taker.join(DEADLINE)
    assert len(had) == 1
    assert all(had[0] in str(error) for error in told)


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
