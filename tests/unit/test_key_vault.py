"""The tags of Key Vault's versions, and the holder of a lease on an in-memory blob."""

import dataclasses
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")
pytest.importorskip("azure.storage.blob", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.errors import LeaseHeldError, StoreError, UnreachableError, UsageError
from secretops.platforms.azure import api, lease, tags
from secretops.platforms.azure.api import KeyVaultVersion
from secretops.platforms.azure.tags import MOST, PREFIX, TagState
from secretops.stores.lease import LeaseLostError, Timing, acquire
from tests.unit.lease_blob import BlobInMemory

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTRY = Entry(time=NOW, secret="it", version="1", step="verify", outcome="done")


def ours(number: int, second: int, **facts: Any) -> KeyVaultVersion:
    """Return a version of Key Vault that was created at `second`, with the tags of our version `number`."""
    version = Version(id=f"v{number}", stage=Stage.PENDING, created=NOW, **facts)
    made = tags.version_tags(version, number, f"w{number}")
    return KeyVaultVersion("it", f"kv{second}", True, NOW + timedelta(seconds=second), None, made)


def ids(versions: Iterable[Version | None]) -> str:
    return " ".join(version.id if version else "-" for version in versions)


def tagged(one: KeyVaultVersion, tags: dict[str, str], *, enabled: bool = False) -> KeyVaultVersion:
    return dataclasses.replace(one, enabled=enabled, tags=tags)


GIVEN_UP, LEAVING = (
    tagged(ours(2, 1), tags.discarded(ours(2, 1), NOW)),
    tagged(ours(2, 1), tags.marked_forgetting(ours(2, 1).tags, NOW)),
)
BACK = tagged(ours(2, 1), dict(ours(2, 1).tags), enabled=True)
OUT: dict[str, Any] = {"published": NOW}
RETIRED: dict[str, Any] = {"published": NOW, "retired": NOW}


@pytest.mark.parametrize(
    # Expected: previous, current and pending version; late ones; surplus ones; the one that was rolled back to.
    ("main", "apart", "expected"),
    [
        # In order; Key Vault's list has none.
        ((ours(3, 2), ours(1, 0), ours(2, 1)), (ours(4, 3),), ("v2 v3 v4", "", "kv0", "")),
        # A publication follows its successor; so does a pending version; an abandoned one returns.
        ((ours(1, 0), ours(3, 2), ours(2, 5)), (), ("v1 v3 -", "kv5", "", "")),
        ((ours(1, 0), ours(3, 2)), (ours(2, 5),), ("v1 v3 -", "kv5", "kv5", "")),
        ((ours(1, 0),), (GIVEN_UP, ours(2, 4)), ("- v1 -", "kv4", "kv4", "")),
        # A person makes an older version the newest: one in time, one retired, one late.
        ((ours(1, 0, **OUT), ours(2, 1, **OUT), ours(1, 9, **OUT)), (), ("v2 v1 -", "", "", "kv9")),
        ((ours(1, 0, **RETIRED), ours(2, 1), ours(1, 9)), (), ("v1 v2 -", "", "kv0", "")),
        ((ours(1, 0), ours(3, 2), ours(2, 5), ours(2, 9)), (), ("v1 v3 -", "kv5 kv9", "kv5", "")),
        # All are being forgotten, and are in use again.
        ((ours(1, 0), LEAVING), (), ("- - -", "", "kv0", "")),
        ((ours(1, 0), BACK), (), ("v1 v2 -", "", "", "")),
    ],
)
def test_history_of_a_secret_has_stages_late_and_surplus_versions(
    main: tuple[KeyVaultVersion, ...], apart: tuple[KeyVaultVersion, ...], expected: tuple[str, str, str, str]
) -> None:
    state = TagState(main, apart)
    versions, back = state.versions, state.rolled_back
    surplus = sorted(copy.stored.id for copy in state.surplus)
    stages = ids((versions.previous, versions.current, versions.pending))
    assert (stages, " ".join(sorted(state.late)), " ".join(surplus), back.stored.id if back else "") == expected
    assert not back or (versions.current and versions.current.published is None), "since when is not known"


def test_of_one_second_the_version_counts_that_readers_find() -> None:
    both = (ours(1, 0), ours(2, 0), KeyVaultVersion("it", "theirs", True, NOW, None, {}))
    assert len(TagState(both, ()).newest) == 3
    assert [one.id for one in TagState(both, (), found="theirs").newest] == ["theirs"]


def test_facts_find_room_among_the_tags_of_others_and_the_journals_entry_goes_first() -> None:
    one = ours(1, 0)
    full = KeyVaultVersion(
        "it", one.id, True, NOW, None, {**one.tags, **{f"theirs-{number}": "x" for number in range(10)}}
    )
    with_last = tags.with_entry(full, ENTRY)
    marked = tags.with_times(full, verified=NOW, retired=NOW)
    assert len(with_last) == len(marked) == MOST
    assert {f"{PREFIX}verified", f"{PREFIX}retired", f"{PREFIX}id"} <= marked.keys()
    assert "theirs-0" in marked and "theirs-9" not in marked
    assert tags.LAST not in tags.with_times(
        KeyVaultVersion("it", one.id, True, NOW, None, with_last), verified=NOW, retired=NOW
    )


@pytest.mark.parametrize("user", [None, "", "ü.b%2F /", "a" * 256])
def test_a_users_name_and_its_times_are_read_as_they_were_written(user: str | None) -> None:
    exact = NOW + timedelta(microseconds=123_456)
    state = TagState((ours(1, 0, user=user, published=exact, verified=NOW),), ())
    current = state.versions.current
    assert current and (current.user, current.published, current.verified) == (user, exact, NOW)


@pytest.mark.parametrize("user", ["u" * 257, "ü" * 50])
def test_a_name_that_no_tag_holds_is_refused(user: str) -> None:
    with pytest.raises(UsageError):
        ours(1, 0, user=user)


QUICK = Timing(duration=60, renew=3600, poll=0.01)


@pytest.fixture
def blob() -> BlobInMemory:
    return BlobInMemory()


def test_a_holder_that_renews_is_reported_to_the_next_one(blob: BlobInMemory) -> None:
    acquired, over = acquire(blob, "the first", QUICK), threading.Event()

    def renew() -> None:
        while not over.wait(QUICK.poll):
            acquired.renew()

    renewing = threading.Thread(target=renew)
    renewing.start()
    try:
        with pytest.raises(LeaseHeldError, match=r"the first .*\[lease-held\]"):
            acquire(blob, "the second", QUICK)
    finally:
        over.set()
        renewing.join()
    acquired.release()
    acquire(blob, "the second", QUICK)


def test_silent_holder_is_not_waited_for_forever(blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LONGEST_LEASE", 0.05)
    blob.owner = "somebody's"
    with pytest.raises(LeaseHeldError):
        acquire(blob, "one", QUICK)


def test_a_lease_that_never_ends_is_reported_with_what_ends_it(blob: BlobInMemory) -> None:
    blob.owner, blob.for_ever = "a person's", True
    with pytest.raises(StoreError) as caught:
        acquire(blob, "one", QUICK)
    assert "az storage blob lease break" in caught.value.remedy


@pytest.mark.parametrize("step", ["acquire", "write_holder"])
def test_lease_with_a_lost_answer_is_released(blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    attempt = getattr(blob, step)

    def lost(*words: object) -> bool:
        attempt(*words)
        raise UnreachableError("the answer is lost", code="test")

    monkeypatch.setattr(blob, step, lost)
    with pytest.raises(UnreachableError):
        acquire(blob, "unlucky", QUICK)
    assert not blob.status().is_leased


def test_holder_followed_during_a_renewal_loses_it(blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    acquired, write = acquire(blob, "the first", QUICK), blob.write_holder

    def late(*words: object) -> bool:
        monkeypatch.setattr(blob, "write_holder", write)
        blob.follow()
        return write(*words)  # type: ignore[arg-type]

    monkeypatch.setattr(blob, "write_holder", late)
    with pytest.raises(LeaseLostError) as lost:
        acquired.confirm(fresh=True)
    assert lost.value.taker == "the follower"


def test_a_recent_renewal_is_trusted_but_not_for_what_cannot_be_undone(blob: BlobInMemory) -> None:
    acquired = acquire(blob, "the first", QUICK)
    blob.follow()
    acquired.confirm()
    with pytest.raises(LeaseLostError):
        acquired.confirm(fresh=True)
    with pytest.raises(LeaseLostError):
        acquired.confirm()


def test_an_attempt_ends_before_anybody_can_have_followed() -> None:
    assert Timing().duration - Timing().trusted > api.CONNECT_SECONDS + api.ANSWER_SECONDS
    vault: Any = api.connect("https://vault.vault.azure.net")
    blob: Any = lease.connect("https://account.blob.core.windows.net/container/blob")
    for pipeline in (vault._client._client._pipeline, blob._pipeline):
        settings = pipeline._transport.connection_config
        assert (settings.timeout, settings.read_timeout) == (api.CONNECT_SECONDS, api.ANSWER_SECONDS)
