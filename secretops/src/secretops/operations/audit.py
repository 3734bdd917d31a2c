"""Who read what: a trail's records, counted by reader, secret, operation and outcome. Undeclared readers come first."""

from __future__ import annotations

import contextlib
import gzip
import re
import sys
import zlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import BinaryIO, cast

from secretops.errors import ExitCode, UsageError
from secretops.manifest import DotenvStore, Manifest
from secretops.trails import open_trail
from secretops.trails.protocol import ALL, Access

STDIN = "-"

LONGEST_LINE = 8 * 2**20
"""Bytes. A record without bodies is a few kilobytes; a longer line is broken, and never held in memory whole."""

MOST_SOURCES = 5
"""How many different sources of one row are kept, so that memory does not grow with the log."""

_GZIP = b"\x1f\x8b"
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
    declared: bool
    count: int
    first: datetime
    last: datetime
    sources: list[str] = field(default_factory=list)
    """Where from: the first MOST_SOURCES different ones."""

    @property
    def outcome(self) -> str:
        """ "got it" (the value), "no value" (a write, or nothing was there), "denied"."""
        if self.given:
            return "got it"
        return "no value" if self.allowed else "denied"

    @property
    def alarming(self) -> bool:
        """An undeclared reader got a value."""
        return self.given and not self.declared


@dataclass(kw_only=True)
class View:
    """What a trail says of a stack's secrets."""

    rows: list[Row]
    lines: int = 0
    broken: int = 0
    """Lines, or ends of files, that are no record."""
    bodies: int = 0
    """Records that hold a value themselves."""

    @property
    def exit_code(self) -> ExitCode:
        """ATTENTION when an undeclared reader got a value, or whoever reads this log can."""
        alarming = self.bodies or any(row.alarming for row in self.rows)
        return ExitCode.ATTENTION if alarming else ExitCode.DONE


def audit(
    manifest: Manifest,
    files: Sequence[str],
    *,
    since: datetime | None = None,
    secret: str | None = None,
    reader: str | None = None,
) -> View:
    """The view over `files` ("-" is standard input; gzip is told by its first bytes), in memory that does not grow.

    A dotenv store's own records are taken without naming a file. `reader` may hold *, ? and [...].

    Raises UsageError, also when no line of the files is a record: that would pass for "nobody read anything".
    """
    trail, asked = open_trail(manifest), None
    if secret is not None and not (asked := trail.names(secret) | {ALL}) - {ALL}:
        raise UsageError(f"{secret}: not in stack {manifest.stack}", remedy=f"one of {', '.join(trail.known())}")
    view, rows = View(rows=[]), dict[tuple[str, str, str, bool, bool], Row]()
    records = 0
    for line in _lines(_chosen(manifest, files), view):
        view.lines += 1
        try:
            accesses = list(trail.read(line))
        except (ValueError, RecursionError):
            view.broken += 1
            continue
        records += 1
        for access in accesses:
            if (since and access.time < since) or (asked and access.secret not in asked):
                continue
            if reader is not None and not fnmatchcase(access.reader, reader):
                continue
            view.bodies += access.holds_value
            _count(rows, access)
    if view.broken and not records:
        raise UsageError(
            f"{', '.join(files) or 'the records'}: none of {view.broken} lines is a record",
            rule=f"one record a line, as the trail of store {manifest.store.kind} writes them",
            remedy="docs/operations says where each platform's lines come from",
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


def _chosen(manifest: Manifest, files: Sequence[str]) -> list[str]:
    """Which files to read. Raises UsageError before anything is read when one of them can't be."""
    store = manifest.store
    if not files and isinstance(store, DotenvStore):
        own = Path(store.root) / "log" / "access.jsonl"
        return [str(own)] if own.exists() else []
    if not files:
        raise UsageError(
            "no file named",
            rule="the API server keeps its audit log where its operator said, or its cloud does",
            remedy="secretops audit FILE…, or - for standard input; docs/operations/kubernetes.md says where from",
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


def _lines(names: Iterable[str], view: View) -> Iterator[bytes]:
    """Every line of all files; what can't be unpacked, or is too long, is counted as broken."""
    for name in names:
        with contextlib.ExitStack() as opened:
            try:
                file = _unpacked(sys.stdin.buffer if name == STDIN else opened.enter_context(Path(name).open("rb")))
                while line := file.readline(LONGEST_LINE):
                    if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
                        while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
                            pass
                        view.lines, view.broken = view.lines + 1, view.broken + 1
                    elif line.strip():
                        yield line
            except (OSError, EOFError, zlib.error):  # cut short, or no gzip after all
                view.lines, view.broken = view.lines + 1, view.broken + 1


def _unpacked(file: BinaryIO) -> BinaryIO:
    peeked = file.peek(len(_GZIP))[: len(_GZIP)] if hasattr(file, "peek") else b""
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if peeked == _GZIP else file


def _count(rows: dict[tuple[str, str, str, bool, bool], Row], access: Access) -> None:
    key = (access.reader, access.secret, access.operation, access.allowed, access.given)
    row = rows.get(key)
    if row is None:
        row = rows[key] = Row(
            reader=access.reader,
            secret=access.secret,
            operation=access.operation,
            allowed=access.allowed,
            given=access.given,
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
    """Undeclared readers first, among them those that got a value; then the latest."""
    return row.declared, not row.given, row.allowed, -row.last.timestamp()
