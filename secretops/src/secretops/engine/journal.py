"""The journal of rotations, for people to read. No decision depends on it."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Protocol

DONE = "done"

# Step of a purge.
PURGE = "purge"

# Maximum characters of an actor. Some stores write the whole entry into a label of 256 characters.
LONGEST_ACTOR = 60


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A step of a rotation. `outcome` is DONE or an error's first line; it never contains a secret value."""

    time: datetime
    secret: str
    version: str
    step: str
    outcome: str
    # The process that took the step: role, account and host, as it states them. Empty if unknown.
    actor: str = ""

    def __post_init__(self) -> None:
        if self.time.utcoffset() is None:
            raise ValueError("a time with no zone")
        for text in (self.secret, self.version, self.step, self.outcome, self.actor):
            if not isinstance(text, str):
                raise ValueError("no text")  # noqa: TRY004 - the error for every line that does not parse


class Journal(Protocol):
    def write(self, entry: Entry) -> None: ...

    def last(self, secret: str) -> Entry | None: ...


@dataclass(frozen=True)
class SignedJournal:
    journal: Journal
    actor: str

    def write(self, entry: Entry) -> None:
        self.journal.write(replace(entry, actor=self.actor[:LONGEST_ACTOR]))

    def last(self, secret: str) -> Entry | None:
        return self.journal.last(secret)


def read_entry(line: bytes) -> Entry:
    """Parse a line of the journal. Raises ValueError, RecursionError."""
    entry = json.loads(line.decode(errors="replace"))
    try:
        return Entry(**{**entry, "time": datetime.fromisoformat(entry["time"])})
    except (KeyError, TypeError) as error:
        raise ValueError("no entry of a journal") from error
