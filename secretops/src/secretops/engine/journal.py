"""The journal of rotations, for people. Convergence never rests on it: that rests on the stages in the store."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

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
        """Raise ValueError for a time without a zone and a field that is no text: others wrote them."""
        if self.time.utcoffset() is None:
            raise ValueError("a time with no zone")
        for text in (self.secret, self.version, self.step, self.outcome):
            if not isinstance(text, str):
                raise ValueError("no text")  # noqa: TRY004 - as any other line that does not parse


class Journal(Protocol):
    """Where entries are kept."""

    def write(self, entry: Entry) -> None: ...

    def last(self, secret: str) -> Entry | None:
        """Return the newest entry about a secret. Raises StoreError."""


def read_entry(line: bytes) -> Entry:
    """Return the entry in one line of a journal. Raises ValueError, RecursionError."""
    entry = json.loads(line.decode(errors="replace"))
    try:
        return Entry(**{**entry, "time": datetime.fromisoformat(entry["time"])})
    except (KeyError, TypeError) as error:
        raise ValueError("no entry of a journal") from error
