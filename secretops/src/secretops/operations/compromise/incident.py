"""The record of an incident, and its files, from which an interrupted command continues."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path

from pydantic import AwareDatetime, Field

from secretops import owned_files
from secretops.errors import BusyError, SecretopsError, UsageError
from secretops.manifest import Manifest, Model, Secret
from secretops.operations.audit import HEADINGS, Row
from secretops.stores import files

# Names of an incident's files, without the extensions .json and .md.
STEMS = "incident-{secret}-{time:%Y%m%dT%H%M%S.%fZ}"

# Maximum age of an unfinished incident that is continued.
RESUME_WITHIN = timedelta(days=1)


class Step(StrEnum):
    FREEZE = "freeze"  # hold the lease
    REPLACE = "replace"  # test and publish a new value, and invalidate the old value
    BOTH_SLOTS = "both slots"  # set a new password of the other broker user
    PROOF = "proof"  # prove that the old value is refused
    READERS = "readers"  # wait until every server uses the new version
    TRAIL = "trail"  # report who read the old value


class Attempt(Model):
    """An attempt at a step of an incident. `ended` is None while it runs, and after an interruption."""

    step: Step
    began: AwareDatetime
    ended: AwareDatetime | None = None
    result: str = ""


class ExposedVersion(Model):
    """A version that was valid when the incident began."""

    # The version's id; or, if the store has lost the version, a text with its user.
    id: str
    stage: str
    user: str | None = None
    # Serial number of a certificate, in hexadecimal.
    serial: str | None = None


class Incident(Model):
    """An incident's record, without values. Methods return a changed copy."""

    project: str
    stack: str
    store: str
    secret: str
    kind: str
    began: AwareDatetime
    # Start of the reported accesses.
    since: AwareDatetime
    # Versions that existed when the incident began, or when a proof failed.
    known: tuple[str, ...]
    # Versions that this incident made, without one that it made just before it was killed.
    made: tuple[str, ...] = ()
    exposed: tuple[ExposedVersion, ...]
    # The operator's own users with a retired version, which may still log in.
    retired_users: tuple[str, ...] = ()
    # Users without a version in this stack; others may use them.
    taken_over: tuple[str, ...] = ()
    # Servers that reported their version at the beginning; None if unknown.
    servers: int | None = None
    attempts: tuple[Attempt, ...] = ()
    done: tuple[Step, ...] = ()
    # Step -> what a person must do.
    manual: dict[Step, tuple[str, ...]] = Field(default_factory=dict)
    # Accesses, undeclared readers first; None before the last step.
    reads: tuple[Row, ...] | None = None
    ended: AwareDatetime | None = None

    @property
    def to_do(self) -> tuple[str, ...]:
        return tuple(text for step in Step for text in self.manual.get(step, ()))

    def begin(self, step: Step, now: datetime) -> Incident:
        return self.model_copy(update={"attempts": (*self.attempts, Attempt(step=step, began=now))})

    def end(self, step: Step, now: datetime, result: str, *, manual: Sequence[str] = (), done: bool = True) -> Incident:
        """End the last attempt, which is at `step`. If `done` is False, a continued incident repeats the step."""
        *before, last = self.attempts
        others = {each: texts for each, texts in self.manual.items() if each is not step}
        return self.model_copy(
            update={
                "attempts": (*before, last.model_copy(update={"ended": now, "result": result})),
                "done": (*self.done, step) if done and step not in self.done else self.done,
                "manual": {**others, step: tuple(manual)} if manual else others,
            }
        )

    def undone(self, *steps: Step) -> Incident:
        return self.model_copy(update={"done": tuple(step for step in self.done if step not in steps)})

    def with_known(self, *versions: str) -> Incident:
        known = tuple(dict.fromkeys((*self.known, *versions)))
        return self.model_copy(update={"known": known}).undone(*Step)


# Stores an incident, before and after each step.
Record = Callable[[Incident], None]


def files_of(incident: Incident, folder: Path) -> tuple[Path, Path]:
    stem = STEMS.format(secret=incident.secret, time=incident.began)
    return folder / f"{stem}.json", folder / f"{stem}.md"


def save(incident: Incident, folder: Path) -> None:
    """Write an incident's page for people, then its JSON file. Raises StoreError."""
    for_programs, for_people = files_of(incident, folder)
    files.write(for_people, page(incident).encode(), files.PRIVATE)
    files.write(for_programs, incident.model_dump_json(indent=2).encode(), files.PRIVATE)


def load(path: Path) -> Incident:
    """Read an incident's JSON file. Raises UsageError, and StoreError for a link or another account's file."""
    try:
        return Incident.model_validate_json(owned_files.read_owned(path))
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "not a file that this version of secretops wrote"
        rule = "the incident's file must be readable: an interrupted incident continues from this file"
        remedy = (
            "make the file readable, or restore it, to continue the incident; to begin another incident, move the file "
            "away, or pass another folder: --to FOLDER"
        )
        raise UsageError(f"{path}: {why}", rule=rule, remedy=remedy, code="incident-unreadable") from None


def find_unfinished(manifest: Manifest, secret: Secret, folder: Path, now: datetime) -> Incident | None:
    """Return the latest incident of `secret`, or None if it has ended or is too old. Raises the errors of `load`."""
    for path in sorted(folder.glob(f"incident-{secret.name}-*.json"), reverse=True):
        incident = load(path)
        if (incident.project, incident.stack, incident.secret) == (manifest.project, manifest.stack, secret.name):
            return incident if incident.ended is None and now - incident.began < RESUME_WITHIN else None
    return None


def recorder(folder: Path) -> Record:
    """Return a function that saves an incident in `folder`. Raises UsageError, StoreError."""
    if not folder.is_dir():
        what, remedy = f"{folder}: no such folder", f"mkdir {folder}, or pass another folder: --to FOLDER"
        if folder.exists():
            what, remedy = f"{folder}: not a folder", "pass a folder: --to FOLDER"
        rule = "the folder to which secretops writes two files of the incident must exist"
        raise UsageError(what, rule=rule, remedy=remedy, code="incident-folder-missing")
    owned_files.check_owner(folder, folder.lstat().st_uid)

    def record(incident: Incident) -> None:
        path, page_file = files_of(incident, folder)
        saved: tuple[Attempt, ...] = ()
        with suppress(SecretopsError):  # the file is missing, or somebody has broken it
            saved = load(path).attempts
        if [one.began for one in saved] != [one.began for one in incident.attempts[: len(saved)]]:
            raise BusyError(
                f"{path}: another run of this command has continued the incident",
                rule="only the latest run may write an incident's files; this run has ended",
                remedy=f"read whether the incident has ended: {page_file}; only if it has not ended, and the other "
                "run has stopped: run this command again",
                code="incident-continued",
            )
        save(incident, folder)

    return record


def page(incident: Incident) -> str:
    state = (
        f"ended {incident.ended:%Y-%m-%d %H:%M:%S}" if incident.ended else "not ended: run `secretops compromise` again"
    )
    exposed = _plain(
        ", ".join(f"{one.id} ({one.stage}{f', user {one.user}' if one.user else ''})" for one in incident.exposed)
    )
    reads = "The trail was not read."
    if incident.reads is not None:
        reads = _table(HEADINGS, (row.cells for row in incident.reads)) if incident.reads else "No access is on record."
    parts = [
        f"# Incident: {incident.secret} of {incident.project}/{incident.stack}",
        f"Store {incident.store}. Began {incident.began:%Y-%m-%d %H:%M:%S}, {state}. All times are UTC.",
        f"Exposed: {exposed or 'no valid version'}.",
        "## Action needed",
        "\n".join(f"- {_plain(text)}" for text in incident.to_do)
        or ("Nothing." if incident.ended else "Not known yet."),
        "## Steps",
        _table(("began", "took", "step", "result"), (_cells(attempt) for attempt in incident.attempts)),
        f"## Accesses since {incident.since:%Y-%m-%d %H:%M:%S}",
        reads,
        "This page contains no secret value, but names of people and addresses: keep it confidential.",
    ]
    return "\n\n".join(parts) + "\n"


def _cells(attempt: Attempt) -> Sequence[str]:
    took = f"{(attempt.ended - attempt.began).total_seconds():.1f} s" if attempt.ended else "not finished"
    return f"{attempt.began:%Y-%m-%d %H:%M:%S}", took, attempt.step, attempt.result


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *([_plain(cell) for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    shown = "".join(each if each.isprintable() else " " for each in text)
    for special in "\\|<>[]`*_#&!":
        shown = shown.replace(special, f"\\{special}")
    return shown.replace("://", ":\\//")
