"""A value as a JSON document, and the journal of a store that has no files."""

import json
from datetime import UTC, datetime

import pytest

from secretops.engine.journal import Entry
from secretops.errors import StoreError, UnreachableError, UsageError
from secretops.stores import payload
from secretops.stores.version_facts import StoreJournal
from secretops.values import Value, new_password

LIMIT = payload.Limit(most_bytes=40, store="a store")


def test_document_is_read_back_as_it_was_written() -> None:
    value = Value({"user": "naïve", "pass": '"b\n'})
    assert payload.parse("it", "v1", payload.serialize("it", value, LIMIT)) == value


def test_document_is_measured_in_bytes() -> None:
    assert payload.serialize("it", Value({"a": "x" * 31}), LIMIT)
    for text in ("x" * 32, "é" * 16):
        with pytest.raises(UsageError):
            payload.serialize("it", Value({"a": text}), LIMIT)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', "not-json"])
def test_document_of_others_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(StoreError) as caught:
        payload.parse("it", "v1", text)
    assert not text or text not in str(caught.value)


def refuse(_entry: Entry) -> None:
    raise UnreachableError("no answer", code="test")


def test_store_journal_prints_one_redacted_line_when_it_cannot_write(capsys: pytest.CaptureFixture[str]) -> None:
    value = Value({"password": new_password()})
    outcome = f"refused: {value['password']}"
    entry = Entry(time=datetime.now(UTC), secret="it", version="v1", step="apply", outcome=outcome)
    for log_entries in (True, False):
        StoreJournal(refuse, lambda _secret: None, log_entries=log_entries).write(entry)
    printed = json.loads(capsys.readouterr().err)
    assert (printed["secret"], printed["step"]) == ("it", "apply")
    assert value["password"] not in printed["outcome"]
