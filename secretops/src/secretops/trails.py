"""Read the access logs of all platforms as `Access`, which contains no value."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from secretops.manifest import Reader, Secret

# In place of the secret's name, for an access to all secrets of the store, such as a list or a watch.
ALL = "*"
# Role of a person's own commands, always a declared reader: the account of a dotenv folder can read every value anyway.
OPERATOR = "operator"
# Operations that change a secret: the rotator may run them on every secret, other readers on none.
CHANGES = frozenset({"write", "delete"})
_DECODER = json.JSONDecoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """An access to a secret, with its outcome. Times are in UTC."""

    time: datetime
    reader: str
    # In the trail's own words, such as "get" or "read".
    operation: str
    # The secret's name in the store (a Kubernetes Secret, a dotenv secret), or ALL.
    secret: str
    allowed: bool
    # Origin, such as an address and a program.
    source: str
    # Whether the answer contained the value.
    value_returned: bool
    # Whether the access changed the secret: a write, a deletion, a label or a policy. False for a failed attempt.
    changed: bool
    # Whether the stack, or the platform itself, permits this reader.
    declared: bool
    # Id of the event, if the trail may report an event twice, such as the steps of a write. Never an id that a
    # client chose, except in secretops' own records, whose writer could as well omit them.
    event: str = ""
    # Whether the record contains the value. The trail then needs the same protection as the store.
    holds_value: bool = False

    def __post_init__(self) -> None:
        """Raise ValueError if a field that is compared and printed is not text."""
        if not all(isinstance(text, str) for text in (self.reader, self.operation, self.secret, self.source)):
            raise ValueError("a name is not text")


class Trail(Protocol):
    """Reads one log format."""

    # What the trail can read, for an error message.
    log_format: str

    def read(self, line: bytes) -> Iterable[Access]:
        """Return the accesses in one line of the log, often none. Raises ValueError for an invalid line.

        A document of several lines is passed as one line.
        """

    def names(self, secret: str) -> frozenset[str]:
        """Return the log's names of a secret or another object of the stack; none if it is unknown."""

    def known_names(self) -> Iterable[str]:
        """Return every name that `names()` can resolve."""


class TrailNames:
    """Names in an access log. `by_secret`: a secret's name in the stack -> its names in the log. `known`: names of all
    the stack's objects in the log."""

    def __init__(self, by_secret: Mapping[str, frozenset[str]], known: Iterable[str]) -> None:
        self.by_secret, self.known = by_secret, frozenset(known)

    def names(self, secret: str) -> frozenset[str]:
        return self.by_secret.get(secret) or frozenset({secret} & self.known)

    def known_names(self) -> Iterable[str]:
        return (*sorted(self.by_secret), *sorted(self.known - {*self.by_secret}))


class AccessRecordTrail(TrailNames):
    """`Trail` of access.jsonl, which secretops and the launcher write for a store without its own trail."""

    log_format = "the store's own log/access.jsonl, one record per line"

    def __init__(self, secrets: Sequence[Secret]) -> None:
        self._readers = {secret.name: secret.readers for secret in secrets}
        super().__init__({}, self._readers)

    def read(self, line: bytes) -> Iterable[Access]:
        record = json.loads(line)
        with parsing("an access record"):
            secret, operation = record["secret"], record["operation"]
            time = datetime.fromisoformat(record["time"]).astimezone(UTC)
            actor, _, host = record["actor"].rpartition("@")
            role, changed = actor.partition(":")[0], operation in CHANGES
            allowed = (Reader.ROTATOR,) if changed else self._readers.get(secret, (Reader.ROTATOR,))
        yield Access(
            time=time,
            reader=actor,
            operation=operation,
            secret=secret,
            allowed=True,
            source=host,
            value_returned=operation == "read",
            changed=changed,
            declared=role == OPERATOR or role in allowed,
            event=f"{record['actor']} {version}" if operation == "write" and (version := record.get("version")) else "",
        )


@contextmanager
def parsing(what: str) -> Iterator[None]:
    """Raise ValueError, with the text "not `what`", if a document lacks a field, or has one of another type."""
    try:
        yield
    except (KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not {what}") from error


def json_documents(text: bytes) -> list[Any]:
    """Return all JSON documents in `text`, with or without space between them. Raises ValueError if there is none.

    CloudTrail writes no newline at the end of a file, so joined files have several documents on one line.
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
