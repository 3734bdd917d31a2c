"""What the tags of Key Vault's versions say of ours: which is current, what came late, what is to be forgotten."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

pytest.importorskip("azure.keyvault.secrets", reason="Azure's SDK is not installed: the extra `azure`")

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.errors import UsageError
from secretops.stores.key_vault import tags
from secretops.stores.key_vault.api import Kept
from secretops.stores.key_vault.tags import MOST, PREFIX, State

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
