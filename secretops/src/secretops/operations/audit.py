"""Who read and changed what: a trail's records, counted by reader, secret, operation and outcome. Undeclared readers
come first."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from secretops.errors import ExitCode, UsageError
from secretops.manifest import Manifest
from secretops.operations.log_reader import STDIN, records_of
from secretops.platform import platform_of
from secretops.stores.files import RECORDS
from secretops.trails.protocol import ALL, Access, Trail

MOST_SOURCES = 5
"""How many different sources of one row are kept, so that memory does not grow with the log."""

MOST_EVENTS = 200_000
"""How many of the stack's accesses are remembered at least, and twice as many at most (some 40 MB), to count one that
two files tell of once. One that comes again later than that counts again: too much is told rather than too little."""

MOST_ROWS = 20_000
"""How many rows are told apart, and as many of undeclared readers who got a value or changed something: readers choose
some of their name. All others are one row for what they did (some 35 MB at most)."""

OTHERS = {True: "(other declared readers)", False: "(other undeclared readers)"}

MOST_FILES = 3
"""How many files of a kind are named where there may be hundreds."""

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(kw_only=True)
class Row:
    """All accesses of one reader to one secret by one operation with one outcome."""

    reader: str
    secret: str
    operation: str
    allowed: bool
    given: bool
    """Whether the answer held the value."""
    done: bool
    """Whether it changed the secret."""
    declared: bool
    count: int
    first: datetime
    last: datetime
    sources: list[str] = field(default_factory=list)
    """Where from: the first MOST_SOURCES different ones."""

    @property
    def outcome(self) -> str:
        """ "got it" (the value), "done" (a change), "no value" (only looked, or it failed), "denied"."""
        if self.given:
            return "got it"
        if self.done:
            return "done"
        return "no value" if self.allowed else "denied"

    @property
    def alarming(self) -> bool:
        """Somebody undeclared got a value, or changed a secret."""
        return (self.given or self.done) and not self.declared


_Key = tuple[str, str, str, bool, bool, bool]


class _Once:
    """Tells an event that another file told of already, in memory that does not grow: two generations of digests."""

    def __init__(self) -> None:
        self._young, self._old = set[int](), set[int]()

    def is_new(self, access: Access) -> bool:
        if not access.event:
            return True
        digest = hash((access.event, access.secret))  # 64 bits, keyed anew in each process
        if digest in self._young or digest in self._old:
            return False
        if len(self._young) >= MOST_EVENTS:
            self._young, self._old = set(), self._young
        self._young.add(digest)
        return True


@dataclass(kw_only=True)
class View:
    """What a trail says of a stack's secrets."""

    rows: list[Row]
    lines: int = 0
    broken: int = 0
    """Lines, or ends of files, that are no record."""
    broken_in: list[str] = field(default_factory=list)
    """The files that have any."""
    not_whole: list[str] = field(default_factory=list)
    """Of these, the ones that were cut short, can't be unpacked, have a line that is too long, or no record at all."""
    bodies: int = 0
    """Records that hold a value themselves."""

    @property
    def exit_code(self) -> ExitCode:
        """ATTENTION when somebody undeclared got a value or changed a secret, when whoever reads this log gets a value,
        and when a file could not be read whole: what it lacks may be just that."""
        alarming = self.bodies or self.not_whole or any(row.alarming for row in self.rows)
        return ExitCode.ATTENTION if alarming else ExitCode.DONE


def audit(
    manifest: Manifest,
    files: Sequence[str],
    *,
    since: datetime | None = None,
    secret: str | None = None,
    reader: str | None = None,
    trail: Trail | None = None,
) -> View:
    """The view over `files` ("-" is standard input; gzip is told by its first bytes), in memory that does not grow.

    Without files a dotenv store's own records are taken, and a trail that can be asked is. `reader` may hold *, ? and
    [...]. `trail` reads the lines another way than the stack's own.

    Raises UsageError, also when no line of the files is a record: that would pass for "nobody read anything".
    """
    platform = platform_of(manifest.store)
    trail, asked = trail or platform.open_trail(manifest), None
    if secret is not None and not (asked := trail.names(secret) | {ALL}) - {ALL}:
        raise UsageError(f"{secret}: not in stack {manifest.stack}", remedy=f"one of {', '.join(trail.known())}")
    view, rows, once = View(rows=[]), dict[_Key, Row](), _Once()
    any_record = False
    query = None if files else platform.query_trail(manifest.store)
    found = [("the trail", query(since))] if query else ((name, records_of(name)) for name in _chosen(manifest, files))
    for name, lines in found:
        broken, records, whole = view.broken, 0, True
        for line in lines:
            view.lines += 1
            accesses = None if line is None else _accesses(trail, line)
            if accesses is None:
                view.broken, whole = view.broken + 1, whole and line is not None
                continue
            records += 1
            for access in accesses:
                if (since and access.time < since) or (asked and access.secret not in asked):
                    continue
                if (reader is None or fnmatchcase(access.reader, reader)) and once.is_new(access):
                    view.bodies += access.holds_value
                    _count(rows, access)
        any_record = any_record or records > 0
        if view.broken > broken:
            view.broken_in.append(name)
            if not whole or not records:
                view.not_whole.append(name)
    if view.broken and not any_record:
        raise UsageError(
            f"{named(files) or 'the records'}: none of {view.broken} lines is a record",
            rule=trail.form,
            remedy="it is read where no file is named"
            if manifest.store.folder
            else f"docs/operations/{manifest.store.kind}.md#who-read-what says where they come from",
        )
    view.rows = sorted(rows.values(), key=_rank)
    return view


def moment(text: str, now: datetime) -> datetime:
    """The time that `--since` means: a duration before `now` (90min, 24h, 7d), or ISO 8601, in UTC unless it says.

    Raises UsageError.
    """
    with contextlib.suppress(ValueError, OverflowError):
        if found := re.fullmatch(r"(\d+)(s|min|h|d|w)", text.strip()):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        given = datetime.fromisoformat(text.strip())
        return given if given.tzinfo else given.replace(tzinfo=UTC)
    raise UsageError(
        f"--since {text!r}: neither a duration nor a time",
        rule="a number and one of s, min, h, d, w; or ISO 8601, which is UTC where it names no zone",
        remedy="for example --since 24h, or --since 2026-01-31T12:00",
    )


def named(files: Sequence[str]) -> str:
    """The first few of `files`, and how many more there are."""
    more = len(files) - MOST_FILES
    return ", ".join(files[:MOST_FILES]) + (f" and {more} more" if more > 0 else "")


def _chosen(manifest: Manifest, files: Sequence[str]) -> list[str]:
    """Which files to read. Raises UsageError before anything is read when one of them can't be."""
    store = manifest.store
    if not files and store.folder:
        own = store.folder / RECORDS
        return [str(own)] if own.exists() else []
    if not files:
        raise UsageError(
            "no file named",
            rule=platform_of(store).trail_source,
            remedy=f"secretops audit FILE…, or - for standard input; docs/operations/{store.kind}.md says where from",
        )
    for name in files:
        if name != STDIN:
            try:
                with Path(name).open("rb"):
                    pass
            except OSError as error:
                raise UsageError(
                    f"{name}: {error.strerror}", remedy="name files of the log that you may read"
                ) from None
    return list(files)


def _accesses(trail: Trail, line: bytes) -> list[Access] | None:
    """What a line tells of, None when it is broken."""
    try:
        return list(trail.read(line))
    except (ValueError, OverflowError, RecursionError):  # of a time at an end of the calendar, of JSON that is too deep
        return None


def _count(rows: dict[_Key, Row], access: Access) -> None:
    did = (access.secret, access.operation, access.allowed, access.given, access.done)
    reader = access.reader
    row = rows.get((reader, *did))
    alarming = (access.given or access.done) and not access.declared
    if row is None and len(rows) >= (2 * MOST_ROWS if alarming else MOST_ROWS):
        reader = OTHERS[access.declared]
        row = rows.get((reader, *did))
    if row is None:
        row = rows[reader, *did] = Row(
            reader=reader,
            secret=access.secret,
            operation=access.operation,
            allowed=access.allowed,
            given=access.given,
            done=access.done,
            declared=access.declared,
            count=0,
            first=access.time,
            last=access.time,
        )
    row.count += 1
    row.declared = row.declared and access.declared
    row.first, row.last = min(row.first, access.time), max(row.last, access.time)
    if access.source not in row.sources and len(row.sources) < MOST_SOURCES:
        row.sources.append(access.source)


def _rank(row: Row) -> tuple[bool, bool, bool, float]:
    """Undeclared readers first, among them those that got a value or changed something; then the latest."""
    return row.declared, not (row.given or row.done), row.allowed, -row.last.timestamp()
