"""The lease of a blob that Microsoft's own emulator keeps, and that nobody writes to the vault who has lost it.

What is asked of any blob is in tests/unit/test_key_vault_lease.py.
"""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")


from secretops.errors import LeaseHeldError, StoreError
from secretops.stores.key_vault.lease import Timing
from secretops.stores.leases import LostError
from tests.contract.live_key_vault import DEADLINE, NOW, V, make, publish, version
from tests.contract.places import InVault

pytestmark = [pytest.mark.real, pytest.mark.slow]

QUICK = Timing(duration=15, renew=0.3, look=0.1)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> InVault:
    return InVault(InVault.fresh(request, tmp_path))


def test_of_many_that_want_the_lease_at_once_one_gets_it_and_keeps_it_while_it_renews(place: InVault) -> None:
    together, over = threading.Barrier(4), threading.Event()
    got: list[str] = []

    def want(name: str) -> None:
        together.wait(DEADLINE)
        with contextlib.suppress(LeaseHeldError), place.open(timing=QUICK).lease(name):
            got.append(name)
            over.wait(DEADLINE)

    threads = [threading.Thread(target=want, args=(f"taker {number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + DEADLINE
    while sum(thread.is_alive() for thread in threads) > 1:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert len(got) == 1
    with pytest.raises(LeaseHeldError, match=f"{got[0]} since"), place.open(timing=QUICK).lease("another"):
        pass
    over.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(got) == 1
    with place.open(timing=QUICK).lease("the next"):
        pass


def test_of_two_rotators_the_one_that_lost_the_lease_writes_nothing(place: InVault) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    first = place.open(timing=Timing(duration=15, renew=3600, look=0.1))
    acts: tuple[Callable[[], None], ...] = (
        lambda: first.publish("it", V[2], NOW),
        lambda: first.mark("it", V[1], verified=NOW),
        lambda: first.discard("it", V[2]),
        lambda: first.forget("it"),
    )
    with first.lease("who was held up"), place.open(timing=QUICK).lease("who followed"):
        for act in acts:
            with pytest.raises(LostError) as lost:
                act()
            assert lost.value.follower == "who followed"
    assert [one.id for one in place.open().versions("it").all] == [V[1], V[2]]


def test_the_blob_is_made_by_whoever_takes_its_lease_first_and_its_container_is_not(place: InVault) -> None:
    blob = place.location.lease.rpartition("/")[0]
    fresh = place.location.model_copy(update={"lease": f"{blob}/fresh"})
    with place.open(fresh).lease("one"):
        pass
    none = place.location.model_copy(update={"lease": f"{blob}-none/fresh"})
    with pytest.raises(StoreError, match="pulumi up"), place.open(none).lease("one"):
        pass
