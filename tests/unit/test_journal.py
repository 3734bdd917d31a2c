"""The journal's history stays readable, even if the file is damaged."""

import json
import stat
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from secretops.engine.journal import Entry
from secretops.errors import StoreError
from secretops.platforms.dotenv.store import JournalFile

TIME = datetime(2026, 3, 1, 12, 0, 5, tzinfo=UTC)


def entry(name: str = "mqtt", outcome: str = "done", *, time: datetime = TIME) -> Entry:
    return Entry(time=time, secret=name, version="v1", step="apply", outcome=outcome)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rotation.jsonl"


def test_a_line_that_is_being_written_is_read_once_it_is_whole(path: Path) -> None:
    journal = JournalFile(path)
    for one in (entry(outcome="first"), entry(outcome="second")):
        journal.write(one)
    whole = path.read_bytes()
    path.write_bytes(whole[:-9])
    reading = JournalFile(path)
    assert reading.last("mqtt") == entry(outcome="first")
    with path.open("ab") as file:
        file.write(whole[-9:])
    assert reading.last("mqtt") == entry(outcome="second")


def test_journal_is_read_again_when_replaced_or_truncated(path: Path) -> None:
    journal, new = JournalFile(path), path.with_name("new")
    for outcome in ("first", "second"):
        journal.write(entry(outcome=outcome))
    assert journal.last("mqtt") == entry(outcome="second")
    path.write_bytes(path.read_bytes().splitlines(keepends=True)[0])
    assert journal.last("mqtt") == entry(outcome="first")
    for _ in range(3):
        JournalFile(new).write(entry(outcome="third"))
    new.replace(path)
    assert journal.last("mqtt") == entry(outcome="third")
    path.unlink()
    assert journal.last("mqtt") is None


def test_an_entry_is_one_private_line_of_json_with_its_time_in_utc(path: Path) -> None:
    there = timezone(timedelta(hours=5))
    JournalFile(path).write(entry(outcome="two\nlines", time=TIME.astimezone(there)))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    (line,) = path.read_text().splitlines()
    assert json.loads(line) == {
        "time": "2026-03-01T12:00:05.000+00:00",
        "secret": "mqtt",
        "version": "v1",
        "step": "apply",
        "outcome": "two\nlines",
        "actor": "",
    }


@pytest.mark.parametrize("garbage", [b"\xff\xfe\n", b"[]\n", b'{"secret": "mqtt"}\n', b'{"time": "2026-03-0'])
def test_garbage_in_it_hides_nothing(path: Path, garbage: bytes) -> None:
    journal = JournalFile(path)
    journal.write(entry(outcome="whole"))
    with path.open("ab") as file:
        file.write(garbage)
    assert journal.last("mqtt") == entry(outcome="whole")
    journal.write(entry(outcome="after"))
    assert journal.last("mqtt") == entry(outcome="after")


def test_journal_reports_a_failed_write_or_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing" / "rotation.jsonl", tmp_path):
        with pytest.raises(StoreError, match=r"\[journal-inaccessible\]"):
            JournalFile(path).write(entry())
    with pytest.raises(StoreError, match=str(tmp_path)):
        JournalFile(tmp_path).last("mqtt")
