"""What the tags of Key Vault's versions say of ours, and who holds the lease of a blob that lies in memory."""

import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")
pytest.importorskip("azure.storage.blob", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.errors import LeaseHeldError, StoreError, UnreachableError, UsageError
from secretops.stores.key_vault import api, lease, tags
from secretops.stores.key_vault.api import Kept
from secretops.stores.key_vault.lease import Timing, take
from secretops.stores.key_vault.tags import MOST, PREFIX, State
from secretops.stores.leases import LostError
from tests.unit.lease_blob import BlobInMemory

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ENTRY = Entry(time=NOW, secret="it", version="1", step="verify", outcome="done")


def kept(number: int, second: int, *, of: str = "", write: int = 0, enabled: bool = True, **times: Any) -> Kept:
    """Key Vault's version of that second which holds ours of `number`; a copy of a write has that write's number."""
    version = Version(id=of or f"v{number}", stage=Stage.PENDING, created=NOW, **times)
    made = tags.facts(version, number, f"w{write or number}")
    return Kept(f"kv{second}", enabled, NOW + timedelta(seconds=second), None, made)


def theirs(second: int) -> Kept:
    return Kept(f"kv{second}", True, NOW + timedelta(seconds=second), None, {})


def stages(state: State) -> dict[str, Stage]:
    return {version.id: version.stage for version in state.versions.all}


def forgotten(state: State) -> set[str]:
    return {copy.kept.id for _, copy in state.surplus}


def test_versions_are_staged_by_the_order_of_their_publication() -> None:
    state = State((kept(3, 2), kept(1, 0), kept(2, 1)), (kept(4, 3),))
    assert stages(state) == {"v2": Stage.PREVIOUS, "v3": Stage.CURRENT, "v4": Stage.PENDING}
    assert forgotten(state) == {"kv0"}


def test_a_publication_that_comes_after_its_successor_is_late_and_not_current() -> None:
    state = State((kept(1, 0), kept(3, 2), kept(2, 5)), ())
    assert state.late == {"kv5"}
    assert stages(state) == {"v1": Stage.PREVIOUS, "v3": Stage.CURRENT}
    assert state.rolled_back is None


def test_what_is_pending_and_comes_after_another_was_published_is_not_pending() -> None:
    state = State((kept(1, 0), kept(3, 2)), (kept(2, 5),))
    assert stages(state) == {"v1": Stage.PREVIOUS, "v3": Stage.CURRENT}
    assert forgotten(state) == {"kv5"}


def test_what_was_given_up_is_not_pending_when_it_comes_once_more() -> None:
    given_up = kept(2, 1)
    ended = Kept(given_up.id, False, given_up.created, None, tags.forgotten(given_up, NOW))
    again = kept(2, 4)
    state = State((kept(1, 0),), (ended, again))
    assert stages(state) == {"v1": Stage.CURRENT}
    assert forgotten(state) == {"kv4"}


def test_an_older_version_that_a_person_gives_again_is_current_since_an_unknown_time() -> None:
    old = kept(1, 0, published=NOW)
    state = State((old, kept(2, 1, published=NOW), kept(1, 9, published=NOW)), ())
    assert state.rolled_back and state.rolled_back.kept.id == "kv9"
    current = state.versions.current
    assert current and (current.id, current.published) == ("v1", None)
    assert stages(state) == {"v2": Stage.PREVIOUS, "v1": Stage.CURRENT}


def test_a_retired_version_that_a_person_gives_again_is_not_current() -> None:
    state = State((kept(1, 0, retired=NOW), kept(2, 1), kept(1, 9)), ())
    assert state.rolled_back is None
    assert stages(state)["v2"] is Stage.CURRENT


def test_of_one_second_the_version_counts_that_readers_find() -> None:
    both = (kept(1, 0), kept(2, 0), Kept("theirs", True, NOW, None, {}))
    assert len(State(both, ()).newest) == 3
    assert [one.id for one in State(both, (), found="theirs").newest] == ["theirs"]


def test_a_secret_that_is_being_forgotten_has_no_version_of_ours() -> None:
    newest = kept(2, 1)
    leaving = Kept(newest.id, False, newest.created, None, tags.forgetting(newest, NOW))
    state = State((kept(1, 0), leaving), ())
    assert state.forgetting and stages(state) == {}
    back = Kept(newest.id, True, newest.created, None, tags.brought_back(leaving))
    assert stages(State((kept(1, 0), back), ())) == {"v1": Stage.PREVIOUS, "v2": Stage.CURRENT}


def test_facts_find_room_among_the_tags_of_others_and_the_journals_entry_goes_first() -> None:
    one = kept(1, 0)
    full = Kept(one.id, True, NOW, None, {**one.tags, **{f"theirs-{number}": "x" for number in range(10)}})
    with_last = tags.with_last(full, ENTRY)
    marked = tags.noted(full, verified=NOW, retired=NOW)
    assert len(with_last) == len(marked) == MOST
    assert {f"{PREFIX}verified", f"{PREFIX}retired", f"{PREFIX}id"} <= marked.keys()
    assert "theirs-0" in marked and "theirs-9" not in marked
    assert tags.LAST not in tags.noted(Kept(one.id, True, NOW, None, with_last), verified=NOW, retired=NOW)


@pytest.mark.parametrize("user", [None, "", "ü.b%2F /", "a" * 256])
def test_a_users_name_and_its_times_are_read_as_they_were_written(user: str | None) -> None:
    exact = NOW + timedelta(microseconds=123_456)
    state = State((kept(1, 0, user=user, published=exact, verified=NOW),), ())
    current = state.versions.current
    assert current and (current.user, current.published, current.verified) == (user, exact, NOW)


@pytest.mark.parametrize("user", ["u" * 257, "ü" * 50])
def test_a_name_that_no_tag_holds_is_refused(user: str) -> None:
    with pytest.raises(UsageError):
        kept(1, 0, user=user)


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


def test_silent_holder_is_not_waited_for_forever(blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_lease_with_a_lost_answer_is_released(blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    asked = getattr(blob, step)

    def lost(*words: object) -> bool:
        asked(*words)
        raise UnreachableError("the answer is lost")

    monkeypatch.setattr(blob, step, lost)
    with pytest.raises(UnreachableError):
        take(blob, "unlucky", QUICK)
    assert not blob.look().leased


def test_holder_followed_during_a_renewal_loses_it(blob: BlobInMemory, monkeypatch: pytest.MonkeyPatch) -> None:
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
