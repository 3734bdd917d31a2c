"""Who holds the Azure store's lease, over a blob that lies in memory. Azurite's own is in tests/contract."""

from __future__ import annotations

import threading
from typing import Any

import pytest

pytest.importorskip("azure.storage.blob", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.errors import LeaseHeldError, StoreError, UnreachableError
from secretops.stores.key_vault import api, lease
from secretops.stores.key_vault.lease import Timing, take
from secretops.stores.leases import LostError
from tests.unit.lease_blob import BlobInMemory

QUICK = Timing(duration=60, renew=3600, look=0.01)


@pytest.fixture
def blob() -> BlobInMemory:
    return BlobInMemory()


def test_a_holder_that_renews_is_reported_to_the_next_one(blob: BlobInMemory) -> None:
    held, over = take(blob, "the first", QUICK), threading.Event()

    def renew() -> None:
        while not over.wait(QUICK.look):
            held.renew()

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        with pytest.raises(LeaseHeldError, match="the first since"):
            take(blob, "the second", QUICK)
    finally:
        over.set()
        renewing.join()
    held.give_back()
    take(blob, "the second", QUICK)


def test_a_holder_that_writes_nothing_is_not_waited_for_for_ever(
    blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "LONGEST_LEASE", 0.05)
    blob.owner = "somebody's"
    with pytest.raises(LeaseHeldError):
        take(blob, "one", QUICK)


def test_a_lease_that_never_ends_is_reported_with_what_ends_it(blob: BlobInMemory) -> None:
    blob.owner, blob.for_ever = "a person's", True
    with pytest.raises(StoreError) as caught:
        take(blob, "one", QUICK)
    assert "az storage blob lease break" in caught.value.remedy


@pytest.mark.parametrize("step", ["acquire", "say"])
def test_a_lease_whose_answer_is_lost_is_given_back(
    blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    asked = getattr(blob, step)

    def lost(*words: object) -> bool:
        asked(*words)
        raise UnreachableError("the answer is lost")

    monkeypatch.setattr(blob, step, lost)
    with pytest.raises(UnreachableError):
        take(blob, "unlucky", QUICK)
    assert not blob.look().leased


def test_a_holder_that_was_followed_between_two_requests_of_a_renewal_has_lost_it(
    blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    held, say = take(blob, "the first", QUICK), blob.say

    def late(*words: object) -> bool:
        monkeypatch.setattr(blob, "say", say)
        blob.follow()
        return say(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(blob, "say", late)
    with pytest.raises(LostError) as lost:
        held.confirm(surely=True)
    assert lost.value.follower == "the follower"


def test_a_recent_renewal_is_trusted_but_not_for_what_cannot_be_undone(blob: BlobInMemory) -> None:
    held = take(blob, "the first", QUICK)
    blob.follow()
    held.confirm()
    with pytest.raises(LostError):
        held.confirm(surely=True)
    with pytest.raises(LostError):
        held.confirm()


def test_an_attempt_ends_before_anybody_can_have_followed() -> None:
    assert Timing().duration - Timing().trusted > api.CONNECT_SECONDS + api.ANSWER_SECONDS
    vault: Any = api.connect("https://vault.vault.azure.net")
    blob: Any = lease.connect("https://account.blob.core.windows.net/container/blob")
    for pipeline in (vault._client._client._pipeline, blob._pipeline):
        settings = pipeline._transport.connection_config
        assert (settings.timeout, settings.read_timeout) == (api.CONNECT_SECONDS, api.ANSWER_SECONDS)
