"""One access to one secret, whoever recorded it, and what each log format does to read it. Never a value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

# The secret of an access that covers all of the store's: a list, or a watch.
ALL = "*"

_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """Who asked for what, and whether they got it. Times are aware, in UTC."""

    time: datetime
    reader: str
    # In the trail's own word, e.g. "get" or "read".
    operation: str
    # In the store's own word (the name of a Kubernetes Secret, of a dotenv secret), or ALL.
    secret: str
    allowed: bool
    # From where, e.g. an address and a program.
    source: str
    # Whether the answer held the value.
    given: bool
    # Whether it changed the secret: a write, a deletion, another label or policy. False for what was only tried.
    done: bool
    # Whether the stack, or the nature of the platform, permits this reader to have it.
    declared: bool
    # The trail's own id of the event, where it may report one event twice. Never what a client chose.
    event: str = ""
    # Whether the record itself holds the value: such a trail has to be guarded as the store is.
    holds_value: bool = False

    def __post_init__(self) -> None:
        """Raises ValueError for what is no text: rows are distinguished by these, and shown."""
        if not all(isinstance(text, str) for text in (self.reader, self.operation, self.secret, self.source)):
            raise ValueError("no text where a name belongs")


class Trail(Protocol):
    """One log format."""

    # What can be read, for a person who named something else.
    form: str

    def read(self, line: bytes) -> Iterable[Access]:
        """Return the accesses in one line of the log, often none. Raises ValueError when it is no line of it.

        A document on many lines comes as one line, too.
        """

    def names(self, secret: str) -> frozenset[str]:
        """Return the trail's names of the secret (or the place) that a person calls `secret`; empty if unknown."""

    def known(self) -> Iterable[str]:
        """Return what a person may ask for by `names`."""


class NamedPlaces:
    """The names of a stack's secrets in its trail: `places` by the names of the catalogue, `secrets` all of them."""

    def __init__(self, places: Mapping[str, frozenset[str]], secrets: Iterable[str]) -> None:
        self.places, self.secrets = places, frozenset(secrets)

    def names(self, secret: str) -> frozenset[str]:
        return self.places.get(secret) or frozenset({secret} & self.secrets)

    def known(self) -> Iterable[str]:
        return (*sorted(self.places), *sorted(self.secrets - {*self.places}))


def in_both(secret: str, *places: Mapping[str, str]) -> frozenset[str]:
    """Return the names of a secret in each of `places` that has it."""
    return frozenset(place[secret] for place in places if secret in place)


@contextmanager
def reading(what: str) -> Iterator[None]:
    """Raise ValueError, "not `what`", for a document that lacks a field, or has another type there."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not {what}") from error


def documents(text: bytes) -> list[Any]:
    """Return all JSON documents of `text`, with or without space between them. Raises ValueError, also for none.

    CloudTrail ends its files without a line's end, so that files that were joined have several on one line.
    """
    left, found = text.strip(b" \t\r\n").decode(), []
    position = 0
    while True:
        document, position = _DECODER.raw_decode(left, position)
        found.append(document)
        while position < len(left) and left[position].isspace():
            position += 1
        if position == len(left):
            return found
