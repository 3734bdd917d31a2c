"""The metadata about versions, stored at the same path as the values. The server is a mapping in memory."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

pytest.importorskip("hvac", reason="Vault's client is not installed: the extra `vault`")

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.platforms.vault import version_metadata
from secretops.platforms.vault.api import VERSION, Api, Document, DocumentInfo, Metadata
from secretops.platforms.vault.store import LeaseDocument
from secretops.platforms.vault.version_metadata import JOURNAL_KEY, MAX_TEXT_BYTES, State, VersionRecord
from secretops.stores.lease import StoredLease

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)


def noted(
    name: str, *numbers: int, planned: int | None = None, copies: tuple[int, ...] = (), **times: Any
) -> VersionRecord:
    version = Version(id=name, stage=Stage.PENDING, created=NOW, **times)
    return VersionRecord(version=version, numbers=numbers, planned=planned, copies=copies)


class Server:
    """Paths with values and metadata, as `State.of` reads them."""

    def __init__(self) -> None:
        self.documents: dict[str, list[Mapping[str, str] | None]] = {"it": [], "apart": []}
        self.notes: dict[str, dict[str, str]] = {"it": {}, "apart": {}}

    def has(self, path: str, *written: Mapping[str, str] | None, of: tuple[VersionRecord, ...] = ()) -> Server:
        self.documents[path] = list(written)
        self.notes[path] = dict(one.entry() for one in of)
        return self

    @property
    def state(self) -> State:
        return State.of(cast(Api, self), "it", "apart")

    def metadata(self, path: str) -> Metadata | None:
        all_of_them = self.documents[path]
        known = {at: DocumentInfo(None, one is None) for at, one in enumerate(all_of_them, 1)}
        return Metadata(len(all_of_them), known, self.notes[path])

    def read(self, path: str, number: int | None = None) -> Document | None:
        number = number or len(self.documents[path])
        found = self.documents[path][number - 1] if 0 < number <= len(self.documents[path]) else None
        return Document(number, found) if found else None


def document(name: str, password: str = "x") -> dict[str, str]:
    return {"password": password, VERSION: name}


def stages(state: State) -> dict[str, Stage]:
    return {version.id: version.stage for version in state.versions.all}


def test_versions_are_staged_by_their_documents_and_older_documents_are_surplus() -> None:
    state = (
        Server()
        .has("it", document("a"), document("b"), document("c"), of=(noted("a", 1), noted("b", 2), noted("c", 3)))
        .has("apart", document("d"), of=(noted("d", 1),))
        .state
    )
    assert stages(state) == {"b": Stage.PREVIOUS, "c": Stage.CURRENT, "d": Stage.PENDING}
    assert state.is_found and not state.is_removed
    assert state.surplus() == [1]
    assert state.changes() == {f"{version_metadata.VERSION_KEY}a": None}


@pytest.mark.parametrize(
    ("newest", "current", "theirs"),
    [(document("b"), "b", False), ({"password": "typed"}, "a", True), (document("a", "typed"), "a", True)],
    ids=["ours", "a person's", "a person's, of an older one"],
)
def test_planned_version_exists_only_with_its_document(newest: dict[str, str], current: str, theirs: bool) -> None:
    state = Server().has("it", document("a"), newest, of=(noted("a", 1), noted("b", planned=2))).state
    found = state.versions.current
    assert found and found.id == current
    assert (state.foreign is not None) is theirs
    assert not state.may_still_arrive


def test_planned_version_without_a_document_may_still_arrive() -> None:
    state = Server().has("it", document("a"), of=(noted("a", 1), noted("b", planned=2))).state
    assert state.may_still_arrive and state.is_found
    assert stages(state) == {"a": Stage.CURRENT}
    assert state.changes() == {}, "the plan stays noted"


def test_an_older_version_that_a_person_gives_again_is_current_since_an_unknown_time() -> None:
    both = (noted("a", 1, published=NOW), noted("b", 2, published=NOW))
    state = Server().has("it", document("a"), document("b"), document("a"), of=both).state
    current = state.versions.current
    assert state.rolled_back and state.foreign is None
    assert current and (current.id, current.published) == ("a", None)
    assert state.surplus() == [1], "one document of a version is enough"


def test_a_retired_version_that_a_person_gives_again_is_an_edit() -> None:
    both = (noted("a", 1, retired=NOW), noted("b", 2))
    state = Server().has("it", document("a"), document("b"), document("a"), of=both).state
    assert not state.rolled_back
    assert state.foreign and state.foreign.number == 3
    assert stages(state)["b"] is Stage.CURRENT


def test_a_current_document_that_somebody_destroyed_is_is_removed() -> None:
    state = Server().has("it", document("a"), None, of=(noted("a", 1), noted("b", 2))).state
    assert state.is_removed and not state.is_found


def test_copies_of_a_person_that_were_adopted_go_with_the_older_documents() -> None:
    adopted = noted("b", 3, copies=(2,))
    state = Server().has("it", document("a"), {"password": "x"}, document("b"), of=(noted("a", 1), adopted)).state
    assert state.surplus() == [2]


def test_a_version_is_read_as_it_was_noted() -> None:
    one = noted("a", 1, user="ü.b%2F /", published=NOW + timedelta(microseconds=5), verified=NOW)
    current = Server().has("it", document("a"), of=(one,)).state.versions.current
    assert current == one.version.at(stage=Stage.CURRENT)


def test_the_journals_entry_is_cut_to_a_note_and_found_again() -> None:
    entry = Entry(time=NOW, secret="it", version="a", step="apply", outcome="it went wrong: ä" * 100)
    text = version_metadata.journal_text(entry)
    assert len(text.encode()) <= MAX_TEXT_BYTES
    found = version_metadata.last_entry("it", Metadata(0, {}, {JOURNAL_KEY: text}))
    assert found and found.outcome and entry.outcome and entry.outcome.startswith(found.outcome)
    assert version_metadata.last_entry("it", Metadata(0, {}, {JOURNAL_KEY: "torn {"})) is None


def test_deleted_lease_is_free_also_while_our_clock_is_behind() -> None:
    known = Metadata(3, {3: DocumentInfo(datetime.now(UTC) + timedelta(minutes=1), destroyed=False)}, {})
    api = SimpleNamespace(read=lambda *_, **__: None, metadata=lambda _: known)
    assert LeaseDocument(cast(Api, api), "lease").read() == StoredLease(None, 3)
