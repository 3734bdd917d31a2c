"""Count the accesses of a trail by reader, secret, operation and outcome, undeclared readers first."""

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
from secretops.trails import ALL, Access, Trail

# The most sources of a row, rows (as many again for alarming ones) and remembered events, so that memory is bounded.
# A repeated event that is no longer remembered counts again. Rows take up to 35 MB, events up to 40 MB.
MOST_SOURCES, MOST_ROWS, MOST_EVENTS = 5, 20_000, 200_000

OTHERS = {True: "(other declared readers)", False: "(other undeclared readers)"}

# The most files in a message.
MOST_FILES = 3

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(kw_only=True)
class Row:
    """The accesses of one reader to one secret by one operation with one outcome."""

    reader: str
    secret: str
    operation: str
    allowed: bool
    given: bool
    """The response had the value."""
    done: bool
    """The access changed the secret."""
    declared: bool
    count: int
    first: datetime
    last: datetime
    sources: list[str] = field(default_factory=list)

    @property
    def outcome(self) -> str:
        """ "got it" (the value), "done" (a change), "no value" (metadata, or a failure), "denied"."""
        if self.given:
            return "got it"
        if self.done:
            return "done"
        return "no value" if self.allowed else "denied"

    @property
    def alarming(self) -> bool:
        """Whether an undeclared reader got a value or changed a secret."""
        return (self.given or self.done) and not self.declared


_Key = tuple[str, str, str, bool, bool, bool]


class _Once:
    """Detects repeated events by two generations of digests."""

    def __init__(self) -> None:
        self._young, self._old = set[int](), set[int]()

    def is_new(self, access: Access) -> bool:
        if not access.event:
            return True
        digest = hash((access.event, access.secret))  # 64 bits, with a random key
        if digest in self._young or digest in self._old:
            return False
        if len(self._young) >= MOST_EVENTS:
            self._young, self._old = set(), self._young
        self._young.add(digest)
        return True


@dataclass(kw_only=True)
class View:
    """The accesses to a stack's secrets."""

    rows: list[Row]
    lines: int = 0
    broken: int = 0
    """Lines, or ends of files, that are not a record."""
    broken_in: list[str] = field(default_factory=list)
    """Files with broken lines."""
    not_whole: list[str] = field(default_factory=list)
    """Files that are cut short, cannot be unpacked, have a line that is too long, or have no record."""
    bodies: int = 0
    """Records with a value."""

    @property
    def exit_code(self) -> ExitCode:
        """ATTENTION for an alarming row, a record with a value, or a file that was not read completely."""
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
    """Return the view of `files` ("-" is standard input; gzip is detected), in bounded memory.

    Without files, use a dotenv store's records, or a trail's API. `reader` may have *, ? and [...]. `trail` replaces
    the stack's own. Raises UsageError, also if no line is a record.
    """
    platform = platform_of(manifest.store)
    trail, asked = trail or platform.open_trail(manifest), None
    if secret is not None and not (asked := trail.names(secret) | {ALL}) - {ALL}:
        raise UsageError(f"{secret}: not in stack {manifest.stack}", remedy=f"one of {', '.join(trail.known_names())}")
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
            rule=trail.log_format,
            remedy="it is read where no file is named"
            if manifest.store.folder
            else f"docs/operations/{manifest.store.kind}.md#who-read-what says where they come from",
        )
    view.rows = sorted(rows.values(), key=_rank)
    return view


def moment(text: str, now: datetime) -> datetime:
    """Parse `--since`: a duration before `now` (90min, 24h, 7d), or ISO 8601, by default UTC. Raises UsageError."""
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
    """Return the first few of `files`, and the number of the others."""
    more = len(files) - MOST_FILES
    return ", ".join(files[:MOST_FILES]) + (f" and {more} more" if more > 0 else "")


def _chosen(manifest: Manifest, files: Sequence[str]) -> list[str]:
    """Return the files to read. Raises UsageError if one is unreadable."""
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
    """Return the accesses of a line; None for a broken one."""
    try:
        return list(trail.read(line))
    except (ValueError, OverflowError, RecursionError):  # a time out of range, JSON that is too deep
        return None


def _count(rows: dict[_Key, Row], access: Access) -> None:
    did = (access.secret, access.operation, access.allowed, access.value_returned, access.changed)
    key: _Key = (access.reader, *did)
    alarming = (access.value_returned or access.changed) and not access.declared
    if key not in rows and len(rows) >= (2 * MOST_ROWS if alarming else MOST_ROWS):
        key = (OTHERS[access.declared], *did)
    if (row := rows.get(key)) is None:
        row = rows[key] = Row(
            reader=key[0],
            secret=access.secret,
            operation=access.operation,
            allowed=access.allowed,
            given=access.value_returned,
            done=access.changed,
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
    """Undeclared readers first, with values or changes before others; then the latest."""
    return row.declared, not (row.given or row.done), row.allowed, -row.last.timestamp()
