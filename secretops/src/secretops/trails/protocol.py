"""One access to one secret, whoever recorded it, and what every log format does to tell of it. Never a value."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

ALL = "*"
"""The secret of an access that covers every one of the store's: a list, or a watch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asked for what, and whether they got it."""

    time: datetime
    """When it was asked for; aware, in UTC."""
    reader: str
    operation: str
    """In the trail's own word, e.g. "get" or "read"."""
    secret: str
    """In the store's own word (the name of a Kubernetes Secret, of a dotenv secret), or ALL."""
    allowed: bool
    source: str
    """From where, e.g. an address and a program."""
    given: bool
    """Whether the answer held the value."""
    done: bool
    """Whether it changed the secret: a write, a deletion, another label or policy. Not what was only tried."""
    declared: bool
    """Whether the stack, or the nature of the platform, says that this reader may have it."""
    event: str = ""
    """What the trail itself calls the event, where it may tell of one event twice. Never what a client chose."""
    holds_value: bool = False
    """Whether the record itself holds the value: a trail that does has to be guarded as the store is."""

    def __post_init__(self) -> None:
        """Raises ValueError for what a log has something else for: rows are told apart by these, and shown."""
        if not all(isinstance(text, str) for text in (self.reader, self.operation, self.secret, self.source)):
            raise ValueError("no text where a name belongs")


class Trail(Protocol):
    """One log format."""

    form: str
    """What there is to read, for whoever gave something else."""

    def read(self, line: bytes) -> Iterable[Access]:
        """The accesses that one line of the log tells of, often none. Raises ValueError when it is no line of it.

        What is one document on many lines comes as one line, too.
        """

    def names(self, secret: str) -> frozenset[str]:
        """What the trail calls the secret (or the place) that a person calls `secret`; empty when it knows none."""

    def known(self) -> Iterable[str]:
        """What a person may ask for by `names`."""
