"""The lease of a blob (Azurite's), and that nobody writes to the vault who has lost it."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import LeaseHeldError, StoreError, UnreachableError
from secretops.stores import leases
from secretops.stores.key_vault import api, lease
from secretops.stores.key_vault.api import Api, Found
from secretops.stores.key_vault.lease import LeaseBlob, Timing
from tests.contract.live_key_vault import (
    DEADLINE,
    NOT_RENEWED,
    NOW,
    QUICK,
    LiveVault,
    V,
    ended,
    followed,
    follows,
    less_patient,
    make,
    publish,
    version,
)
from tests.contract.places import InVault
from tests.real.azure import Azure
from tests.real.azure_clients import OwnConnections
from tools.key_vault.faults import failing

pytestmark = pytest.mark.real


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, azure: Azure) -> LiveVault:
    return LiveVault(InVault.fresh(request, tmp_path), azure)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    less_patient(monkeypatch)


def test_of_many_that_want_the_lease_at_once_one_gets_it_and_keeps_it_while_it_renews(place: LiveVault) -> None:
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
    held = time.monotonic()
    while time.monotonic() - held < QUICK.duration + 1:
        began = time.monotonic()
        with pytest.raises(LeaseHeldError, match=f"{got[0]} since"), place.open(timing=QUICK).lease("another"):
            pass
        assert time.monotonic() - began < QUICK.duration, "a holder that lives is told at once"
    over.set()
    for thread in threads:
        thread.join(DEADLINE)
    assert len(got) == 1
    with place.open(timing=QUICK).lease("the next"):
        pass


def test_of_two_rotators_the_one_that_lost_the_lease_writes_nothing(place: LiveVault) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    first = place.open(timing=Timing(duration=15, renew=3600, look=0.1))
    with first.lease("who was held up"), place.open(timing=QUICK).lease("who followed"):
        before = len(place.vault.audit)
        acts: tuple[Callable[[], None], ...] = (
            lambda: first.publish("it", V[2], NOW),
            lambda: first.mark("it", V[1], verified=NOW),
            lambda: first.discard("it", V[2]),
            lambda: first.forget("it"),
        )
        for act in acts:
            with pytest.raises(StoreError, match="not ours any more: who followed has changed it"):
                act()
        assert {row["OperationName"] for row in place.vault.audit[before:]} <= {"SecretListVersions", "SecretGet"}


def test_who_was_followed_during_a_read_is_not_given_its_value_to_act_on(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, V[1])
    store, value = place.open(timing=NOT_RENEWED), Api.value

    def stalled(self: Api, name: str, version: str | None = None) -> Found | None:
        """The SDK asks again and again, for minutes."""
        follows(place, monkeypatch)
        return value(self, name, version)

    with store.lease("who was held up"):
        monkeypatch.setattr(Api, "value", stalled)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.read("it", V[1], purpose="test")


def test_who_was_followed_while_the_machine_slept_gives_no_more_values_to_act_on(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(place, V[1])
    store = place.open(timing=NOT_RENEWED)
    with store.lease("asleep"):
        store.read("it", V[1], purpose="test")
        follows(place, monkeypatch)  # `time.monotonic` stood still meanwhile
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.read("it", V[1], purpose="test")


@pytest.mark.parametrize("step", ["publish", "mark"])
def test_who_was_followed_between_two_attempts_of_a_write_does_not_make_the_second(
    place: LiveVault, impatient: None, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The SDK asks again, for more than a minute; the lease is for half of one."""
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    operation = {"publish": "SetSecret", "mark": "UpdateSecret"}[step]
    acts: dict[str, Callable[[], None]] = {
        "publish": lambda: store.publish("it", V[2], NOW),
        "mark": lambda: store.mark("it", V[1], verified=NOW),
    }
    fault, new = failing(operation, secret="it"), make()
    place.vault.faults.append(fault)
    store = place.again().open(timing=NOT_RENEWED)

    def after_the_first() -> None:
        if fault.times == 0:
            OwnConnections.around_write.clear()
            follows(place, monkeypatch)
            publish(place, V[3], new)

    with store.lease("who was held up"):
        OwnConnections.around_write.append(after_the_first)
        try:
            with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
                acts[step]()
        finally:
            OwnConnections.around_write.clear()
    assert place.delivered() == dict(new)
    assert [one.verified for one in place.open().versions("it").all] == [None, None]


def test_a_publication_does_not_rest_on_a_renewal_however_recent_it_is(place: LiveVault) -> None:
    publish(place, V[1])
    place.open().add("it", version(V[2]), make())
    store = place.open(timing=NOT_RENEWED)
    before = len(place.requests("SecretSet"))
    with store.lease("who was held up"):
        followed(place)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.publish("it", V[2], NOW)
    assert len(place.requests("SecretSet")) == before


def test_an_attempt_that_azure_does_not_answer_is_given_up_before_anybody_can_have_followed() -> None:
    assert Timing().duration - Timing().trusted > api.CONNECT_SECONDS + api.ANSWER_SECONDS


def test_the_clients_that_the_product_connects_give_up_after_that_long() -> None:
    blob: Any = lease.connect("https://account.blob.core.windows.net/container/blob")
    vault: Any = api.connect("https://vault.vault.azure.net")
    for pipeline in (vault._client._client._pipeline, blob._pipeline):
        settings = pipeline._transport.connection_config
        assert (settings.timeout, settings.read_timeout) == (api.CONNECT_SECONDS, api.ANSWER_SECONDS)


def test_a_renewal_that_took_so_long_that_it_may_be_over_is_made_again(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, renew, now = place.open(timing=NOT_RENEWED), LeaseBlob.renew, [leases.awake_or_not()]
    monkeypatch.setattr(leases, "awake_or_not", lambda: now[-1])

    def slowly_at_first(self: LeaseBlob, lease: str) -> bool:
        if len(now) == 1:
            now.append(now[-1] + NOT_RENEWED.trusted + 1)
            followed(place)
            return True
        return renew(self, lease)

    monkeypatch.setattr(LeaseBlob, "renew", slowly_at_first)
    monkeypatch.setattr(LeaseBlob, "say", lambda *_: True)
    with store.lease("slow"), pytest.raises(StoreError, match="not ours any more"):
        store.confirm()


def test_who_was_followed_a_moment_ago_is_told_when_it_asks_whether_the_lease_is_its_own(place: LiveVault) -> None:
    store = place.open(timing=NOT_RENEWED)
    store.confirm()
    with store.lease("who was held up"):
        store.confirm()
        followed(place)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.confirm()


def test_who_lost_the_lease_to_nobody_is_not_told_that_it_was_itself(place: LiveVault) -> None:
    store = place.open(timing=NOT_RENEWED)
    with store.lease("whose lease was ended"):
        ended(place)
        with pytest.raises(StoreError, match="not ours any more: somebody else has changed it"):
            store.confirm()


def test_who_was_followed_between_renewing_and_saying_so_has_lost_it(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, say = place.open(timing=NOT_RENEWED), LeaseBlob.say

    def late(self: LeaseBlob, *words: Any) -> bool:
        monkeypatch.setattr(LeaseBlob, "say", say)
        followed(place)
        return say(self, *words)

    with store.lease("who was held up"):
        monkeypatch.setattr(LeaseBlob, "say", late)
        with pytest.raises(StoreError, match="not ours any more: the follower has changed it"):
            store.confirm()


@pytest.mark.parametrize("step", ["acquire", "say"])
def test_a_lease_whose_answer_was_lost_is_given_back_and_keeps_nobody_out(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    asked = getattr(LeaseBlob, step)

    def lost(self: LeaseBlob, *words: Any) -> bool:
        asked(self, *words)
        raise UnreachableError("the answer was lost")

    with monkeypatch.context() as patched:
        patched.setattr(LeaseBlob, step, lost)
        with pytest.raises(UnreachableError, match="the answer was lost"), place.open().lease("unlucky"):
            pass
    assert not LeaseBlob(place.location.lease, place.clients.blob).look().leased
    with place.open(timing=NOT_RENEWED).lease("the next"):
        pass


def test_the_blob_is_made_by_whoever_takes_its_lease_first_and_its_container_is_not(place: LiveVault) -> None:
    blob = place.location.lease.rpartition("/")[0]
    fresh = place.location.model_copy(update={"lease": f"{blob}/fresh"})
    with place.open(fresh).lease("one"):
        pass
    none = place.location.model_copy(update={"lease": f"{blob}-none/fresh"})
    with pytest.raises(StoreError, match=r"no such container[\s\S]*pulumi up"), place.open(none).lease("one"):
        pass


def test_a_lease_that_a_person_took_for_ever_is_told_with_what_ends_it(place: LiveVault) -> None:
    place.clients.blob(place.location.lease).acquire_lease()
    with (
        pytest.raises(StoreError, match=r"taken for ever[\s\S]*az storage blob lease break"),
        place.open().lease("one"),
    ):
        pass


def test_a_holder_that_does_not_say_who_it_is_is_not_waited_for_for_ever(
    place: LiveVault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LONGEST_LEASE", 0.5)
    place.clients.blob(place.location.lease).acquire_lease(60)
    with pytest.raises(LeaseHeldError, match="somebody who does not say who"), place.open(timing=QUICK).lease("one"):
        pass
