"""What was done about each secret, for people. Convergence never rests on it: that rests on the store's stages."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from secretops import lines
from secretops.errors import SecretopsError, StoreError


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One step of one rotation. `outcome` is "done" or the error's first line, which never holds a value."""

    time: datetime
    secret: str
    version: str
    step: str
    outcome: str


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
    journal.write(entry("done"))


class JournalFile:
    """A journal as an append-only file of JSON lines, mode 600."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, entry: Entry) -> None:
        time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
        try:
            lines.append(self._path, json.dumps({**asdict(entry), "time": time}))
        except OSError as error:
            raise StoreError(
                f"{self._path}: {error.strerror}",
                rule="every step of a rotation is written down",
                remedy="make the file writable and its disk not full; the next tick goes on from here",
            ) from error

    def last(self, secret: str) -> Entry | None:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreError(
                f"{self._path}: {error.strerror}",
                rule="the journal says how the last rotation went",
                remedy="run it as the account that owns the folder",
            ) from error
        for line in reversed(text.splitlines()):
            try:
                entry = json.loads(line)
                if entry["secret"] == secret:
                    return Entry(**{**entry, "time": datetime.fromisoformat(entry["time"])})
            except (ValueError, KeyError, TypeError):  # a line cut short by a full disk
                continue
        return None
