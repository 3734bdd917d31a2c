"""An incident: what was exposed, what has been done and when; its two files, from which a command continues.

It has names of versions and users, never a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Self

from pydantic import AwareDatetime, Field

from secretops import owned_files
from secretops.errors import StoreError, UsageError
from secretops.manifest import Manifest, Model, Secret
from secretops.operations.audit import Row
from secretops.stores import files

# The names of an incident's files, before .json and .md.
STEMS = "incident-{secret}-{time:%Y%m%dT%H%M%S.%fZ}"

# An unfinished incident is continued for this time; later it is another one.
GONE_ON_WITH = timedelta(days=1)

# Characters that are shown of a name or a source from a log.
LONGEST = 200


class Step(StrEnum):
    """The steps of an incident, in order."""

    FREEZE = "freeze"  # hold the lease
    REPLACE = "replace"  # prove and publish a new value, and end the old one
    BOTH_SLOTS = "both slots"  # set a new password of the other broker user
    PROOF = "proof"  # prove that the old value is refused
    READERS = "readers"  # wait until every server is on the new version
    TRAIL = "trail"  # report who read it


class Moment(Model):
    """One attempt of a step."""

    step: Step
    began: AwareDatetime
    ended: AwareDatetime | None = None
    """None while it runs, and after an interruption."""
    told: str = ""


class Out(Model):
    """A version that was valid when the incident began."""

    id: str
    """The version's id, or a text with its user if the store has lost it."""
    stage: str
    user: str | None = None
    serial: str | None = None
    """The serial number of a certificate, in hexadecimal."""


class Read(Model):
    """A row of `secretops audit`."""

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
        return cls.model_validate({name: getattr(row, name) for name in cls.model_fields})


class Incident(Model):
    """The record of an incident. A change makes a new one, which the caller records."""

    project: str
    stack: str
    store: str
    secret: str
    kind: str
    began: AwareDatetime
    since: AwareDatetime
    """The start of the accesses that are reported."""
    known: tuple[str, ...]
    """The versions that existed when it began, or when a proof failed."""
    out: tuple[Out, ...]
    """The versions that were valid when it began."""
    kept: tuple[str, ...] = ()
    """The operator's own users with a retired version, which may still log in."""
    taken_over: tuple[str, ...] = ()
    """Users without a value in this stack, which others may use."""
    servers: int | None = None
    """Servers that reported their version at the beginning; None if unknown."""
    moments: tuple[Moment, ...] = ()
    done: tuple[Step, ...] = ()
    left: dict[Step, tuple[str, ...]] = Field(default_factory=dict)
    """Step -> what a person has to do."""
    reads: tuple[Read, ...] | None = None
    """The accesses since, undeclared ones first; None before the last step."""
    ended: AwareDatetime | None = None

    @property
    def to_do(self) -> tuple[str, ...]:
        return tuple(text for step in Step for text in self.left.get(step, ()))

    def begin(self, step: Step, now: datetime) -> Incident:
        return self.model_copy(update={"moments": (*self.moments, Moment(step=step, began=now))})

    def end(self, step: Step, now: datetime, told: str, *, left: tuple[str, ...] = (), done: bool = True) -> Incident:
        """End the last moment, of `step`. Not `done`: it is repeated."""
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
        """Return the incident with these versions known, so that they are replaced, too."""
        known = tuple(dict.fromkeys((*self.known, *versions)))
        return self.model_copy(update={"known": known}).undone(*Step)


# Stores an incident, before and after each step.
Record = Callable[[Incident], None]


def files_of(incident: Incident, folder: Path) -> tuple[Path, Path]:
    """Return the JSON file and the Markdown file."""
    stem = STEMS.format(secret=incident.secret, time=incident.began)
    return folder / f"{stem}.json", folder / f"{stem}.md"


def keep(incident: Incident, folder: Path) -> None:
    """Write both files with mode 600, the JSON file last. Raises StoreError."""
    for_programs, for_people = files_of(incident, folder)
    files.write(for_people, page(incident).encode(), files.PRIVATE)
    files.write(for_programs, incident.model_dump_json(indent=2).encode(), files.PRIVATE)


def unfinished(manifest: Manifest, secret: Secret, folder: Path, now: datetime) -> Incident | None:
    """Return the latest incident of `secret` in `folder` unless it has ended or is too old. Raises UsageError,
    StoreError."""
    for path in sorted(folder.glob(f"incident-{secret.name}-*.json"), reverse=True):
        incident = _read(path)
        if (incident.project, incident.stack, incident.secret) == (manifest.project, manifest.stack, secret.name):
            return incident if incident.ended is None and now - incident.began < GONE_ON_WITH else None
    return None


def _read(path: Path) -> Incident:
    """Read an incident. Raises UsageError, and StoreError for a link or another account's file."""
    try:
        return Incident.model_validate_json(owned_files.read_owned(path))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "no incident of this version of secretops"
        raise UsageError(
            f"{path}: {why}",
            rule="what was begun is gone on with from this file",
            remedy="move it away to begin anew, or give another folder: --to FOLDER",
        ) from None


def in_folder(folder: Path) -> Record:
    """Return a Record that writes to `folder`. Raises StoreError without that folder."""
    if not folder.is_dir():
        raise StoreError(
            f"{folder}: no such folder",
            rule="the incident's two files are kept in it",
            remedy=f"mkdir {folder}, or give another one: --to FOLDER",
        )
    return lambda incident: keep(incident, folder)


def page(incident: Incident) -> str:
    """Return the incident as a page of Markdown."""
    state = (
        f"ended {incident.ended:%Y-%m-%d %H:%M:%S}" if incident.ended else "not ended: `secretops compromise` goes on"
    )
    good = _plain(
        ", ".join(f"{one.id} ({one.stage}{f', user {one.user}' if one.user else ''})" for one in incident.out)
    )
    parts = [
        f"# Incident: {incident.secret} of {incident.project}/{incident.stack}",
        f"Store {incident.store}. Began {incident.began:%Y-%m-%d %H:%M:%S}, {state}. All times are UTC.",
        f"What was out: {good or 'no version that was still good'}.",
        "## What is left to do",
        "\n".join(f"- {_plain(text)}" for text in incident.to_do) or ("Nothing." if incident.ended else "To be seen."),
        "## What was done",
        _table(("began", "took", "step", "what"), (_done(moment) for moment in incident.moments)),
        f"## Who read and changed it since {incident.since:%Y-%m-%d %H:%M:%S}",
        _reads(incident.reads),
        "This page holds no value, and names people and addresses: keep it as such.",
    ]
    return "\n\n".join(parts) + "\n"


def _done(moment: Moment) -> Sequence[str]:
    took = f"{(moment.ended - moment.began).total_seconds():.1f} s" if moment.ended else "cut short"
    return f"{moment.began:%Y-%m-%d %H:%M:%S}", took, moment.step, moment.told


def _reads(reads: tuple[Read, ...] | None) -> str:
    if reads is None:
        return "Nobody has looked yet."
    if not reads:
        return "No access is on record."
    return _table(
        ("declared", "reader", "place", "operation", "outcome", "times", "first", "last", "from"),
        (
            (
                "yes" if read.declared else "NO",
                read.reader[:LONGEST],
                read.secret,
                read.operation,
                read.outcome,
                str(read.count),
                f"{read.first:%Y-%m-%d %H:%M:%S}",
                f"{read.last:%Y-%m-%d %H:%M:%S}",
                "; ".join(read.sources)[:LONGEST],
            )
            for read in reads
        ),
    )


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Escape Markdown, HTML, links and line breaks."""
    shown = "".join(each if each.isprintable() else " " for each in text)
    for special in "\\|<>[]`*_#&!":
        shown = shown.replace(special, f"\\{special}")
    return shown.replace("://", ":\\//")
