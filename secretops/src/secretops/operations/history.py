"""The history of each secret: the journal, logs of rotators, and the times of stored versions.

A dotenv folder has the whole journal. Other stores have only each secret's newest entry; the rotator's log has all
entries.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from secretops.engine.journal import DONE, Entry
from secretops.engine.state import Version, Versions
from secretops.errors import SecretopsError, UsageError
from secretops.formats import counted
from secretops.operations.audit import log_unreadable, named
from secretops.operations.log_reader import STDIN, lines_of, open_log
from secretops.operations.session import Session
from secretops.stores.files import JOURNAL

_ENTRY = TypeAdapter(Entry)
Fact = TypeVar("Fact")


@dataclass(frozen=True, kw_only=True)
class History:
    entries: tuple[Entry, ...]
    # What is missing in the history; empty if the journal is complete.
    lacking: str


def history(
    session: Session, files: Sequence[str] = (), since: datetime | None = None, *, secret: str | None = None
) -> History:
    """Return the steps of rotations since a time. `files` are logs of rotators or journals; "-" is standard input.

    If `secret` is set, return only its steps. Raises UsageError for an unusable file.
    """
    folder = session.manifest.store.folder
    lacking, no_names, no_entries = list[str](), tuple[str, ...](), list[Entry]()
    left = _read(session.orphans, no_names, lacking)
    every = dict.fromkeys([*(one.name for one in session.manifest.secrets), *left])
    names = every if secret is None else [secret]
    logged = [entry for file in files for entry in _logged(file, every)]
    known = [entry for entry in logged if entry.secret in names]
    own = folder / JOURNAL if folder else None
    is_whole = own is not None and own.exists()
    written = known + (_read(functools.partial(_entries, str(own)), no_entries, lacking) if is_whole else [])
    if own is None:
        identities = {_identity(entry) for entry in known}
        newest = [_read(functools.partial(session.journal.last, name), None, lacking) for name in names]
        written += [entry for entry in newest if entry and _identity(entry) not in identities]
    done = {(entry.secret, entry.version, entry.step) for entry in written if entry.outcome == DONE}
    own_times = [
        entry
        for name in names
        for version in _read(functools.partial(session.store.versions, name), Versions(), lacking).all
        for entry in _times(name, version)
        if (entry.secret, entry.version, entry.step) not in done
    ]
    # Steps of one time stay in the order in which they were written.
    entries = sorted(dict.fromkeys([*written, *own_times]), key=lambda entry: (entry.time, entry.secret))
    if not is_whole:
        lacking.insert(0, _lacking(known, names, has_newest=own is None))
    if others := sorted({entry.secret for entry in logged} - every.keys()):
        lacking.append(f"Entries of {named(others)} were skipped: these are not secrets of this stack.")
    return History(
        entries=tuple(one for one in entries if (not since or one.time >= since) and secret in (None, one.secret)),
        lacking=" ".join(lacking),
    )


def of_secret(
    session: Session, name: str, files: Sequence[str] = (), since: datetime | None = None
) -> tuple[tuple[Version, ...], History]:
    """Return a secret's stored versions and the steps of its rotations. Raises UsageError, StoreError."""
    if name not in session.orphans():
        name = session.secret(name).name
    return session.store.versions(name).all, history(session, files, since, secret=name)


def _read(fact: Callable[[], Fact], otherwise: Fact, lacking: list[str]) -> Fact:
    """Return `fact()`. On an error, note it in `lacking` and return `otherwise`."""
    try:
        return fact()
    except SecretopsError as error:
        lacking.append(f"Not read: {error.what}.")
        return otherwise


def _identity(entry: Entry) -> tuple[str, str, str, datetime]:
    # Logs have times in milliseconds, and may truncate other texts.
    moment = entry.time.replace(microsecond=entry.time.microsecond // 1000 * 1000)
    return entry.secret, entry.version, entry.step, moment


def _lacking(known: Sequence[Entry], names: Collection[str], *, has_newest: bool) -> str:
    stored = "The folder has no journal, only the times of its versions."
    if has_newest:
        stored = "This store has only each secret's newest journal entry, and the times of its versions."
    if not known:
        return f"{stored} The rotator's log has every step: add --journal FILE."
    first, secrets = min(entry.time for entry in known), {entry.secret for entry in known}
    return (
        f"{stored} The logs begin {first:%Y-%m-%d %H:%M} UTC, with {len(secrets)} of "
        f"{counted(len(names), 'secret', 'secrets')}: other steps may be missing."
    )


def _times(secret: str, version: Version) -> Iterator[Entry]:
    for step, time in (("prepare", version.created), ("publish", version.published), ("retire", version.retired)):
        if time:
            yield Entry(time=time, secret=secret, version=version.id, step=step, outcome=DONE)


def _logged(file: str, names: Collection[str]) -> list[Entry]:
    found = _entries(file)
    if not any(entry.secret in names for entry in found):
        what = f"{file}: no journal entry"
        if found:
            what = f"{file}: no journal entry of this stack's secrets"
        rule = "the file must have lines that a rotator wrote: JSON with time, secret, version, step and outcome"
        raise UsageError(
            what,
            rule=rule,
            remedy="pass the log of the unit, job or service that runs secretops tick",
            code="journal-no-entries",
        )
    return found


def _entries(file: str) -> list[Entry]:
    """Return the journal entries in a log. Skips other lines, and text before the JSON in a line."""
    found: list[Entry] = []
    try:
        with open_log(file) as packed:
            for line in lines_of(packed):
                if line is None:
                    name = "standard input" if file == STDIN else file
                    raise UsageError(
                        f"{name} is truncated, or has a line that is too long",
                        rule="the log must be complete: its last entries may be missing",
                        remedy="copy the whole log again, then pass the copy",
                        code="log-incomplete",
                    )
                text = line.decode(errors="replace")
                try:
                    entry = _ENTRY.validate_json(text[max(text.find("{"), 0) :], strict=True)
                except ValidationError:
                    continue
                if entry.time.tzinfo:
                    found.append(replace(entry, time=entry.time.astimezone(UTC)))
    except OSError as error:
        raise log_unreadable(file, error) from None
    return found
