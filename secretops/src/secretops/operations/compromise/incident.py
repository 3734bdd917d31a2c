"""One incident: what was out, what has been done about it, and when. A command that was cut short goes on from it.

Public: names of versions and users, never a value.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, Field

from secretops.errors import StoreError, UsageError
from secretops.manifest import Manifest, Model, Secret
from secretops.operations.audit import Row
from secretops.operations.compromise.page import page
from secretops.stores import files

STEMS = "incident-{secret}-{time:%Y%m%dT%H%M%S.%fZ}"
"""What the files of an incident are called, before .json and .md."""


GONE_ON_WITH = timedelta(days=1)
"""For how long an incident without an end is gone on with. Somebody who comes later speaks of another one."""


class Step(StrEnum):
    """What is done about a compromised secret, in this order."""

    FREEZE = "freeze"  # nobody else rotates meanwhile
    REPLACE = "replace"  # a new value, proven and published; the old one ended at once
    BOTH_SLOTS = "both slots"  # the other broker user gets a new password, too
    PROOF = "proof"  # the old value is refused
    READERS = "readers"  # every server is on the new version
    TRAIL = "trail"  # who read it


class Moment(Model):
    """One go at one step."""

    step: Step
    began: AwareDatetime
    ended: AwareDatetime | None = None
    """None while it is under way, and for good where it was cut short."""
    told: str = ""


class Out(Model):
    """One version that was good when the incident began, so that somebody may have it."""

    id: str
    stage: str
    user: str | None = None
    serial: str | None = None
    """Of a certificate, in hexadecimal."""


class Read(Model):
    """One row of the trail, as `secretops audit` has it."""

    reader: str
    secret: str
    operation: str
    outcome: str
    declared: bool
    count: int
    first: AwareDatetime
    last: AwareDatetime
    sources: tuple[str, ...]

    @classmethod
    def of(cls, row: Row) -> Self:
        return cls(
            reader=row.reader,
            secret=row.secret,
            operation=row.operation,
            outcome=row.outcome,
            declared=row.declared,
            count=row.count,
            first=row.first,
            last=row.last,
            sources=tuple(row.sources),
        )


class Incident(Model):
    """All that is known of it. Each change gives another one, which the caller records."""

    project: str
    stack: str
    store: str
    secret: str
    kind: str
    began: AwareDatetime
    since: AwareDatetime
    """From when on the trail is looked at."""
    known: tuple[str, ...]
    """The ids of all versions there were when it began, or when a proof failed. Any other was made since."""
    out: tuple[Out, ...]
    """Those that were good when it began."""
    kept: tuple[str, ...] = ()
    """The operator's own users whose version is retired: they were left as they are, and may still log in."""
    taken_over: tuple[str, ...] = ()
    """Users that this stack has no value of, so that somebody else may use them."""
    servers: int | None = None
    """How many reported which version they use, before anything was done; None where that could not be known."""
    moments: tuple[Moment, ...] = ()
    done: tuple[Step, ...] = ()
    left: dict[Step, tuple[str, ...]] = Field(default_factory=dict)
    """What a person has to do still, by the step that found it."""
    reads: tuple[Read, ...] | None = None
    """Who read and changed it since, the undeclared first; None while nobody has looked."""
    ended: AwareDatetime | None = None

    @property
    def to_do(self) -> tuple[str, ...]:
        return tuple(text for step in Step for text in self.left.get(step, ()))

    def begin(self, step: Step, now: datetime) -> Incident:
        return self.model_copy(update={"moments": (*self.moments, Moment(step=step, began=now))})

    def end(self, step: Step, now: datetime, told: str, *, left: tuple[str, ...] = (), done: bool = True) -> Incident:
        """The last moment, of `step`, is over; not `done`: it has to be gone on with."""
        *before, last = self.moments
        others = {each: texts for each, texts in self.left.items() if each is not step}
        return self.model_copy(
            update={
                "moments": (*before, last.model_copy(update={"ended": now, "told": told})),
                "done": (*self.done, step) if done and step not in self.done else self.done,
                "left": {**others, step: left} if left else others,
            }
        )

    def undone(self, *steps: Step) -> Incident:
        return self.model_copy(update={"done": tuple(step for step in self.done if step not in steps)})

    def again(self, *versions: str) -> Incident:
        """With these known too, so that they are replaced as well."""
        known = tuple(dict.fromkeys((*self.known, *versions)))
        return self.model_copy(update={"known": known}).undone(*Step)


Record = Callable[[Incident], None]
"""Keeps an incident as it stands now. Called before and after each step."""


def files_of(incident: Incident, folder: Path) -> tuple[Path, Path]:
    """Where it is kept: for programs, and for people."""
    stem = STEMS.format(secret=incident.secret, time=incident.began)
    return folder / f"{stem}.json", folder / f"{stem}.md"


def keep(incident: Incident, folder: Path) -> None:
    """Write both files, mode 600, the one that is gone on from last. Raises StoreError."""
    for_programs, for_people = files_of(incident, folder)
    files.write(for_people, page(incident).encode(), files.PRIVATE)
    files.write(for_programs, incident.model_dump_json(indent=2).encode(), files.PRIVATE)


def unfinished(manifest: Manifest, secret: Secret, folder: Path, now: datetime) -> Incident | None:
    """The latest incident of `secret` in `folder`, if it was not gone through with. Raises UsageError.

    One that began longer than GONE_ON_WITH ago is none: what is made of it since would pass for never having been out.
    """
    for path in sorted(folder.glob(f"incident-{secret.name}-*.json"), reverse=True):
        incident = _read(path)
        if (incident.project, incident.stack, incident.secret) == (manifest.project, manifest.stack, secret.name):
            return incident if incident.ended is None and now - incident.began < GONE_ON_WITH else None
    return None


def _read(path: Path) -> Incident:
    try:
        return Incident.model_validate_json(path.read_bytes())
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no incident of this version of secretops"
        raise UsageError(
            f"{path}: {why}",
            rule="what was begun is gone on with from this file",
            remedy="move it away to begin anew, or give another folder: --to FOLDER",
        ) from None


def in_folder(folder: Path) -> Record:
    """Records in `folder`. Raises StoreError where that is none of this account's."""
    if not folder.is_dir():
        raise StoreError(
            f"{folder}: no such folder",
            rule="the incident's two files are kept in it",
            remedy=f"mkdir {folder}, or give another one: --to FOLDER",
        )
    return lambda incident: keep(incident, folder)
