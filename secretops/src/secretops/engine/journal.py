"""What was done about each secret, for people. Convergence never rests on it: that rests on the store's stages."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Protocol

from secretops import jsonl
from secretops.errors import SecretopsError, StoreError
from secretops.own_files import open_own

DONE = "done"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One step of one rotation. `outcome` is DONE or the error's first line, which never holds a value."""

    time: datetime
    secret: str
    version: str
    step: str
    outcome: str

    def __post_init__(self) -> None:
        """Raises ValueError for what was not written by us: a time with no zone, or no text where one belongs."""
        if self.time.utcoffset() is None:
            raise ValueError("a time with no zone")
        if not all(isinstance(text, str) for text in (self.secret, self.version, self.step, self.outcome)):
            raise ValueError("no text")


class Journal(Protocol):
    """Where entries are kept."""

    def write(self, entry: Entry) -> None: ...

    def last(self, secret: str) -> Entry | None:
        """The newest entry about a secret. Raises StoreError."""


@contextmanager
def written(journal: Journal, clock: Callable[[], datetime], *, secret: str, version: str, step: str) -> Iterator[None]:
    """Write down how a step ended, whichever way."""

    def entry(outcome: str) -> Entry:
        return Entry(time=clock(), secret=secret, version=version, step=step, outcome=outcome)

    try:
        yield
    except SecretopsError as error:
        journal.write(entry(error.what))
        raise
    journal.write(entry(DONE))


def read_entry(line: bytes) -> Entry:
    """Return the entry that one line of a journal is. Raises ValueError, RecursionError."""
    entry = json.loads(line.decode(errors="replace"))
    try:
        return Entry(**{**entry, "time": datetime.fromisoformat(entry["time"])})
    except (KeyError, TypeError) as error:
        raise ValueError("no entry of a journal") from error


class JournalFile:
    """A journal as an append-only file of JSON lines, mode 600. What was read of it is not read again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: tuple[int, int] | None = None
        self._end = 0
        self._last: dict[str, Entry] = {}

    def write(self, entry: Entry) -> None:
        time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
        try:
            jsonl.append(self._path, json.dumps({**asdict(entry), "time": time}))
        except OSError as error:
            raise StoreError(
                f"{self._path}: {error.strerror}",
                rule="every step of a rotation is written down",
                remedy="make the file writable and its disk not full; the next tick goes on from here",
            ) from error

    def last(self, secret: str) -> Entry | None:
        try:
            with open(open_own(self._path, os.O_RDONLY), "rb") as file:  # noqa: PTH123 - a descriptor
                self._read_on(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{self._path}: {error.strerror}",
                rule="the journal says how the last rotation went",
                remedy="run it as the account that owns the folder",
            ) from error
        return self._last.get(secret)

    def _read_on(self, file: BinaryIO) -> None:
        """Take in the lines that are new, or all where another file lies there. One that is being written is left."""
        found = os.fstat(file.fileno())
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._end:
            self._file, self._end, self._last = (found.st_dev, found.st_ino), 0, {}
        file.seek(self._end)
        for line in file:
            if not line.endswith(b"\n"):
                break
            self._end += len(line)
            with suppress(ValueError, RecursionError):  # a line cut short by a full disk
                entry = read_entry(line)
                self._last[entry.secret] = entry
