"""Functions for stores that record facts and the journal in labels, tags or metadata."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Callable
from datetime import UTC, datetime

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions
from secretops.errors import SecretopsError
from secretops.redaction import redact

_log = logging.getLogger(__name__)

TIMES = ("created", "published", "verified", "retired", "expires")


def staged(previous: Version | None, current: Version | None, pending: Version | None) -> Versions:
    found = ((previous, Stage.PREVIOUS), (current, Stage.CURRENT), (pending, Stage.PENDING))
    return Versions(tuple(version.at(stage=stage) for version, stage in found if version))


def merge(one: Version, other: Version) -> Version:
    """Return `one` with each of its times replaced by that of `other`, if later. Both record the same version."""
    times = {name: max(filter(None, (getattr(one, name), getattr(other, name))), default=None) for name in TIMES}
    return dataclasses.replace(one, **times)  # type: ignore[arg-type]


def fit_outcome(entry: Entry, written: Callable[[str], str], longest: int) -> str:
    """Return `written(outcome)`, after cutting the entry's outcome until the text has at most `longest` bytes."""
    outcome = entry.outcome
    while len((text := written(outcome)).encode()) > longest and outcome:
        outcome = outcome[:-1]
    return text


def timestamp(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="microseconds")


class StoreJournal:
    """A journal that stores each secret's newest entry, and prints all entries to stderr if `log_entries`.

    `keep` stores an entry; `last` returns a secret's newest entry.
    """

    def __init__(
        self, keep: Callable[[Entry], object], last: Callable[[str], Entry | None], *, log_entries: bool
    ) -> None:
        self._keep, self.last, self._log_entries = keep, last, log_entries

    def write(self, entry: Entry) -> None:
        entry = dataclasses.replace(entry, outcome=redact(entry.outcome))
        if self._log_entries:
            time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
            print(json.dumps({**dataclasses.asdict(entry), "time": time}), file=sys.stderr, flush=True)  # noqa: T201
        try:
            self._keep(entry)
        except SecretopsError as error:
            _log.warning("%s: `secretops status` does not know the last step: %s", entry.secret, error.what)
