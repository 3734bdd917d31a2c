"""What was done to each secret: the journal, as far as it is kept, and what the versions kept say of themselves.

A folder keeps its whole journal. Other stores keep each secret's newest entry; the rest are lines of the log of whoever
rotated. Such logs may be named: what else is in them is passed over.
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
    """What is known to have been done, oldest first."""

    entries: tuple[Entry, ...]
    lacking: str
    """What of it was not read, or left out, in words; empty where it is the whole journal."""


def history(session: Session, files: Sequence[str] = (), since: datetime | None = None) -> History:
    """What was done since then, told once. `files` are logs of rotators, or a journal from elsewhere; "-" is standard
    input, and gzip is told by its first bytes.

    `lacking` names each refusal of the store or the journal. Raises UsageError where a file can't be read or has no
    entry of a secret of the stack.
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
    told = {
        entry
        for name in names
        for version in _read(functools.partial(session.store.versions, name), Versions(), lacking).all
        for entry in _said_of_itself(name, version)
        if (entry.secret, entry.version, entry.step) not in done
    }
    entries = sorted({*written, *told}, key=lambda entry: (entry.time, entry.secret, entry.step))
    if not is_whole:
        lacking.insert(0, _lacking(given, names, keeps_newest=own is None))
    if others := sorted({entry.secret for entry in logged} - names.keys()):
        lacking.append(f"Left out, as no secrets of this stack, is what the logs tell of {named(others)}.")
    return History(
        entries=tuple(entry for entry in entries if since is None or entry.time >= since), lacking=" ".join(lacking)
    )


def _read(fact: Callable[[], Fact], otherwise: Fact, lacking: list[str]) -> Fact:
    """Return a fact of the store or the journal. If refused, return `otherwise` and add why to `lacking`."""
    try:
        return fact()
    except SecretopsError as error:
        lacking.append(f"Not read: {error.what}.")
        return otherwise


def _as_logged(entry: Entry) -> tuple[str, str, str, datetime]:
    """What tells an entry from others in a log, which has milliseconds, and words that a store may have cut."""
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
    """The lines that are one, from where their JSON begins: many logs put their own time before it."""
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
