"""The history of each secret: from the journal, logs of rotators, and the times of stored versions.

A dotenv folder has the whole journal. Other stores have each secret's newest entry; the others are in the rotator's
log, whose other lines are ignored.
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
from secretops.operations.audit import named
from secretops.operations.log_reader import STDIN, lines_of, open_log
from secretops.operations.session import Session
from secretops.stores.files import JOURNAL

_ENTRY = TypeAdapter(Entry)
Fact = TypeVar("Fact")


@dataclass(frozen=True, kw_only=True)
class History:
    """Rotation steps, oldest first."""

    entries: tuple[Entry, ...]
    lacking: str
    """What is missing; empty for the whole journal."""


def history(session: Session, files: Sequence[str] = (), since: datetime | None = None) -> History:
    """Return the steps since then. `files` are logs of rotators, or another journal; "-" is standard input.

    `lacking` has the errors of the store and the journal. Raises UsageError for a file that is unreadable or has no
    entry of the stack.
    """
    folder = session.manifest.store.folder
    lacking, no_names, no_entries = list[str](), tuple[str, ...](), list[Entry]()
    left = _read(session.left, no_names, lacking)
    names = dict.fromkeys([*(secret.name for secret in session.manifest.secrets), *left])
    logged = [entry for file in files for entry in _given(file, names)]
    given = [entry for entry in logged if entry.secret in names]
    own = folder / JOURNAL if folder else None
    is_whole = own is not None and own.exists()
    written = given + (_read(functools.partial(_entries, str(own)), no_entries, lacking) if is_whole else [])
    if own is None:
        known = {_as_logged(entry) for entry in given}
        newest = [_read(functools.partial(session.journal.last, name), None, lacking) for name in names]
        written += [entry for entry in newest if entry and _as_logged(entry) not in known]
    done = {(entry.secret, entry.version, entry.step) for entry in written if entry.outcome == DONE}
    own_times = {
        entry
        for name in names
        for version in _read(functools.partial(session.store.versions, name), Versions(), lacking).all
        for entry in _said_of_itself(name, version)
        if (entry.secret, entry.version, entry.step) not in done
    }
    entries = sorted({*written, *own_times}, key=lambda entry: (entry.time, entry.secret, entry.step))
    if not is_whole:
        lacking.insert(0, _lacking(given, names, keeps_newest=own is None))
    if others := sorted({entry.secret for entry in logged} - names.keys()):
        lacking.append(f"Left out, as no secrets of this stack, is what the logs tell of {named(others)}.")
    return History(
        entries=tuple(entry for entry in entries if since is None or entry.time >= since), lacking=" ".join(lacking)
    )


def _read(fact: Callable[[], Fact], otherwise: Fact, lacking: list[str]) -> Fact:
    """Return `fact()`; on an error, return `otherwise` and add the error to `lacking`."""
    try:
        return fact()
    except SecretopsError as error:
        lacking.append(f"Not read: {error.what}.")
        return otherwise


def _as_logged(entry: Entry) -> tuple[str, str, str, datetime]:
    """Return what identifies an entry in a log, which has milliseconds and may shorten texts."""
    moment = entry.time.replace(microsecond=entry.time.microsecond // 1000 * 1000)
    return entry.secret, entry.version, entry.step, moment


def _lacking(given: Sequence[Entry], names: Collection[str], *, keeps_newest: bool) -> str:
    kept = (
        "This store keeps each secret's newest entry of the journal, at least a failure, and what its versions say of "
        "themselves."
        if keeps_newest
        else "The folder has no journal; its versions say some of it."
    )
    if not given:
        return f"{kept} The log of whoever rotates has every step: secretops report --journal FILE."
    first = min(entry.time for entry in given)
    of = len({entry.secret for entry in given})
    return (
        f"{kept} The logs that were read begin {first:%Y-%m-%d %H:%M} UTC and tell of {of} of {len(names)} secrets: "
        "what was done before, to the others, or is in no log that was named may be missing."
    )


def _said_of_itself(secret: str, version: Version) -> Iterator[Entry]:
    for step, time in (("prepare", version.created), ("publish", version.published), ("retire", version.retired)):
        if time:
            yield Entry(time=time, secret=secret, version=version.id, step=step, outcome=DONE)


def _given(file: str, names: Collection[str]) -> list[Entry]:
    found = _entries(file)
    if not any(entry.secret in names for entry in found):
        raise UsageError(
            f"{file}: no entry of a journal" + (" of this stack's secrets" if found else ""),
            rule="a rotator logs each of its steps as a line of JSON: time, secret, version, step, outcome",
            remedy="name the log of what calls secretops tick",
        )
    return found


def _entries(file: str) -> list[Entry]:
    """Return the entries of a log, whose lines may have a prefix before the JSON."""
    found: list[Entry] = []
    try:
        with open_log(file) as packed:
            for line in lines_of(packed):
                if line is None:
                    whose = "standard input" if file == STDIN else file
                    raise UsageError(f"{whose}: could not be read whole", remedy="get the log again, whole")
                text = line.decode(errors="replace")
                try:
                    entry = _ENTRY.validate_json(text[max(text.find("{"), 0) :], strict=True)
                except ValidationError:
                    continue
                if entry.time.tzinfo:
                    found.append(replace(entry, time=entry.time.astimezone(UTC)))
    except OSError as error:
        raise UsageError(f"{file}: {error.strerror}", remedy="name a log that you may read") from None
    return found
