"""Count the accesses in a trail by reader, secret, operation and outcome. Undeclared readers come first."""

from __future__ import annotations

import contextlib
import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path

from secretops.check import Result, attention, unknown
from secretops.errors import ExitCode, UsageError, did_you_mean
from secretops.formats import counted
from secretops.manifest import Manifest
from secretops.operations.log_reader import STDIN, records_of
from secretops.platform import platform_of
from secretops.stores.files import RECORDS
from secretops.trails import ALL, Access, Trail

# Limits that bound memory: sources of a row, rows (and as many rows of alarming accesses; up to 35 MB), and remembered
# events (up to 40 MB). A repeated event that is no longer remembered counts again.
MOST_SOURCES, MOST_ROWS, MOST_EVENTS = 5, 20_000, 200_000

OTHERS = {True: "(other declared readers)", False: "(other undeclared readers)"}

# Files that a message names, and printed characters of a reader or of the sources in a table.
MOST_FILES, LONGEST = 3, 200

HEADINGS = ("declared", "reader", "secret", "operation", "outcome", "times", "first (UTC)", "last (UTC)", "from")

_UNITS = {"s": "seconds", "min": "minutes", "h": "hours", "d": "days", "w": "weeks"}


@dataclass(kw_only=True)
class Row:
    reader: str
    secret: str
    operation: str
    # "got value", "done" (a change), "no value" (metadata, or a failure) or "denied".
    outcome: str
    allowed: bool
    # Whether the response contained a value; whether the secret was changed.
    value_returned: bool
    changed: bool
    declared: bool
    count: int
    first: datetime
    last: datetime
    sources: list[str] = field(default_factory=list)

    @property
    def alarming(self) -> bool:
        return (self.value_returned or self.changed) and not self.declared

    @property
    def cells(self) -> tuple[str, ...]:
        times = [f"{time:%Y-%m-%d %H:%M:%S}" for time in (self.first, self.last)]
        secret = "* (all)" if self.secret == ALL else self.secret
        names = ("yes" if self.declared else "NO", self.reader[:LONGEST], secret, self.operation, self.outcome)
        return (*names, str(self.count), *times, "; ".join(self.sources)[:LONGEST])


# Fields that a row copies from an access.
_COPIED = ("secret", "operation", "allowed", "value_returned", "changed", "declared")

_Key = tuple[str, str, str, bool, bool, bool]


def _is_new(access: Access, seen: OrderedDict[int, None]) -> bool:
    digest = hash((access.event, access.secret))  # 64 bits, with a random key
    if not access.event or digest in seen:
        return not access.event
    if len(seen) >= MOST_EVENTS:
        seen.popitem(last=False)
    seen[digest] = None
    return True


@dataclass(kw_only=True)
class View:
    rows: list[Row]
    lines: int = 0
    # Number of lines that are no record, or are truncated at the end of a file; and the files with such lines.
    broken: int = 0
    broken_in: list[str] = field(default_factory=list)
    # Files that are truncated, cannot be decompressed, have a line that is too long, or have no record.
    not_whole: list[str] = field(default_factory=list)
    # Number of records that contain a secret value.
    bodies: int = 0

    @property
    def problems(self) -> list[Result]:
        """Return problems of the logs: skipped lines, or secret values in records."""
        found = []
        if self.not_whole:
            what = f"incomplete: {named(self.not_whole)}"
            rule = "an audit must read every line of a log: a skipped line may be an access"
            found.append(unknown(what, rule, "get the logs again, and pass all of them"))
        if self.bodies:
            records = counted(self.bodies, "record of the trail contains", "records of the trail contain")
            what = f"{records} a secret value, which every reader of the log can read"
            remedy = (
                "apply the stack's audit policy (level Metadata), rotate the secrets whose values are in the log, and "
                "protect or delete the log"
            )
            found.append(attention(what, "a trail must not contain secret values", remedy))
        return found

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.ATTENTION if self.problems or any(row.alarming for row in self.rows) else ExitCode.DONE


def audit(
    manifest: Manifest,
    files: Sequence[str],
    *,
    since: datetime | None = None,
    secret: str | None = None,
    reader: str | None = None,
    trail: Trail | None = None,
) -> View:
    """Count the accesses in `files` ("-" is standard input; gzip is detected), in bounded memory.

    Without files, reads a dotenv store's records, or a trail's API. `reader` may have wildcards. `trail` is used
    instead of the stack's trail. Raises UsageError.
    """
    platform = platform_of(manifest.store)
    trail, names = trail or platform.open_trail(manifest), None
    if secret is not None and not (names := trail.names(secret) | {ALL}) - {ALL}:
        what, rule = f"{secret}: no such secret in stack {manifest.stack}", "--secret must name a secret of the stack"
        known = trail.known_names()
        remedy = f"{did_you_mean(secret.lower(), known)}pass one of {', '.join(known)}"
        raise UsageError(what, rule=rule, remedy=remedy, code="secret-unknown")
    view, rows, seen = View(rows=[]), dict[_Key, Row](), OrderedDict[int, None]()
    any_record = False
    query = None if files else platform.query_trail(manifest.store)
    logs = [("the trail", query(since))] if query else ((name, records_of(name)) for name in _chosen(manifest, files))
    for name, lines in logs:
        broken, records, whole = view.broken, 0, True
        for line in lines:
            view.lines += 1
            accesses = None if line is None else _accesses(trail, line)
            if accesses is None:
                view.broken, whole = view.broken + 1, whole and line is not None
                continue
            records += 1
            for access in accesses:
                if (since and access.time < since) or (names and access.secret not in names):
                    continue
                if reader is None or fnmatchcase(access.reader, reader):
                    is_new = _is_new(access, seen)
                    view.bodies += access.holds_value and is_new
                    _count(rows, access, is_new=is_new)
        any_record = any_record or records > 0
        if view.broken > broken:
            view.broken_in.append(name)
            if not whole or not records:
                view.not_whole.append(name)
    if view.broken and not any_record:
        source = f"docs/operations/{manifest.store.kind}.md#who-read-what says where to get the log"
        what = f"{named(files) or 'the records'}: no line is a record (unreadable lines: {view.broken})"
        remedy = "omit FILE: the store has its own records" if manifest.store.folder else source
        raise UsageError(what, rule=f"a log must be {trail.log_format}", remedy=remedy, code="trail-no-records")
    view.rows = sorted(rows.values(), key=_rank)
    return view


def moment(text: str, now: datetime) -> datetime:
    """Parse `--since`: a duration before `now`, or a time in ISO 8601, by default UTC. Raises UsageError."""
    with contextlib.suppress(ValueError, OverflowError):
        if found := re.fullmatch(r"(\d+)(s|min|h|d|w)", text.strip()):
            return now - timedelta(**{_UNITS[found[2]]: int(found[1])})
        time = datetime.fromisoformat(text.strip())
        time = time if time.tzinfo else time.replace(tzinfo=UTC)
        if time <= now:
            return time
    rule = "--since must be a number with s, min, h, d or w; or a past time in ISO 8601, by default UTC"
    remedy = "for example --since 24h, or --since 2026-01-31T12:00"
    raise UsageError(
        f"--since {text!r}: neither a duration nor a past time", rule=rule, remedy=remedy, code="since-invalid"
    )


def named(files: Sequence[str]) -> str:
    more = len(files) - MOST_FILES
    return ", ".join(files[:MOST_FILES]) + (f" and {more} more" if more > 0 else "")


def _chosen(manifest: Manifest, files: Sequence[str]) -> list[str]:
    store = manifest.store
    if not files and store.folder:
        own = store.folder / RECORDS
        return [str(own)] if own.exists() else []
    if not files:
        what, rule = "audit: no log file", f"an audit of this stack requires a log: {platform_of(store).trail_source}"
        remedy = (
            f"secretops audit FILE, where FILE may be - for standard input; docs/operations/{store.kind}.md "
            "says where the log is; secretops doctor says how to record it"
        )
        raise UsageError(what, rule=rule, remedy=remedy, code="trail-file-missing")
    check_logs(files)
    return list(files)


def check_logs(files: Sequence[str]) -> None:
    for name in files:
        if name != STDIN:
            try:
                with Path(name).open("rb"):
                    pass
            except OSError as error:
                raise log_unreadable(name, error) from None


def log_unreadable(name: str, error: OSError) -> UsageError:
    rule, remedy = "the log must exist, and this account must be able to read it", "pass the path of a readable log"
    return UsageError(f"{name}: {error.strerror}", rule=rule, remedy=remedy, code="log-unreadable")


def _accesses(trail: Trail, line: bytes) -> list[Access] | None:
    try:
        return list(trail.read(line))
    except (ValueError, OverflowError, RecursionError):  # a time out of range, JSON that is too deep
        return None


def _count(rows: dict[_Key, Row], access: Access, *, is_new: bool) -> None:
    did = (access.secret, access.operation, access.allowed, access.value_returned, access.changed)
    key: _Key = (access.reader, *did)
    alarming = (access.value_returned or access.changed) and not access.declared
    if key not in rows and not is_new:
        return
    if key not in rows and len(rows) >= (2 * MOST_ROWS if alarming else MOST_ROWS):
        key = (OTHERS[access.declared], *did)
    if (row := rows.get(key)) is None:
        without_value = "no value" if access.allowed else "denied"
        row = rows[key] = Row(
            reader=key[0],
            outcome="got value" if access.value_returned else "done" if access.changed else without_value,
            count=0,
            first=access.time,
            last=access.time,
            **{name: getattr(access, name) for name in _COPIED},
        )
    row.count += is_new
    row.declared = row.declared and access.declared
    row.first, row.last = min(row.first, access.time), max(row.last, access.time)
    if access.source not in row.sources and len(row.sources) < MOST_SOURCES:
        row.sources.append(access.source)


def _rank(row: Row) -> tuple[bool, bool, bool, float]:
    """Return a sort key: undeclared readers first, then rows with returned or changed values, then refused accesses,
    then the latest."""
    return row.declared, not (row.value_returned or row.changed), row.allowed, -row.last.timestamp()
