"""How the stores of vendors write the facts of a version and the journal's entries into short texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version, Versions

TIMES = ("created", "published", "verified", "retired", "expires")


def staged(previous: Version | None, current: Version | None, pending: Version | None) -> Versions:
    """Return the versions, each in its stage."""
    found = ((previous, Stage.PREVIOUS), (current, Stage.CURRENT), (pending, Stage.PENDING))
    return Versions(tuple(version.at(stage=stage) for version, stage in found if version))


def merged(one: Version, other: Version) -> Version:
    """Return `one` with the later of both in each time: a vendor may have two texts about a version for a moment."""
    times = {
        name: max(filter(None, (getattr(one, name), getattr(other, name))), default=None)  # no time is taken back
        for name in TIMES
    }
    return dataclasses.replace(one, **times)  # type: ignore[arg-type]


def fitted(entry: Entry, written: Callable[[str], str], longest: int) -> str:
    """Return what `written` makes of the entry's outcome, cut so that it has `longest` bytes at most."""
    outcome = entry.outcome
    while len((text := written(outcome)).encode()) > longest and outcome:
        outcome = outcome[:-1]
    return text


def stamp(time: datetime) -> str:
    """Return a time in UTC, to the microsecond."""
    return time.astimezone(UTC).isoformat(timespec="microseconds")
