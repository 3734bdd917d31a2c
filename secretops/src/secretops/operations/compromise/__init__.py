"""Respond to a compromised secret: replace it, prove that the old value is refused, and report who read it.

The steps in `containment` run under the store's lease, except the wait for servers; in a Swarm, in a task. An
interrupted command continues from the incident's files.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from secretops.errors import ExitCode, SecretopsError, WaitingError
from secretops.formats import counted
from secretops.manifest import Secret
from secretops.operations import audit
from secretops.operations.compromise.advice import cost, plan
from secretops.operations.compromise.containment import contain
from secretops.operations.compromise.incident import (
    ExposedVersion,
    Incident,
    Record,
    Step,
    files_of,
    find_unfinished,
    load,
    recorder,
)
from secretops.operations.put import check_fields
from secretops.operations.session import Session, had_value, known_versions
from secretops.values import Value

__all__ = [
    "Incident",
    "Outcome",
    "compromise",
    "cost",
    "files_of",
    "load",
    "needs_value",
    "open_incident",
    "plan",
    "recorder",
    "run_in_task",
]

# Path of the incident's file in a Swarm task.
INCIDENT_FILE = "/etc/coreflux-mcp/incident.json"

# Prompts for an operator-supplied value, and returns it.
Ask = Callable[[Secret], Value]


@dataclass(frozen=True)
class Outcome:
    incident: Incident
    exit_code: ExitCode


def open_incident(session: Session, name: str, *, since: datetime | None, to: Path, new: bool = False) -> Incident:
    """Return the unfinished incident of `name` in the folder `to`. If there is none, or `new` is set, return a new
    incident.

    `since` is the start of the reported accesses, by default a day ago. Raises UsageError, StoreError, WaitingError.
    """
    secret, now = session.secret(name), session.clock()
    recorder(to)
    if not new and (found := find_unfinished(session.manifest, secret, to, now)):
        return found if since is None else found.model_copy(update={"since": since})
    session.check_owner()
    versions = known_versions(session, name)
    if versions.current is None and not had_value(session, secret):
        rule, remedy = (
            "a compromised secret must have a version, in the store or in the journal",
            session.first_value_command(secret),
        )
        raise WaitingError(f"{name} never had a value", rule=rule, remedy=remedy, code="secret-never-set")
    exposed = [ExposedVersion(id=one.id, stage=one.stage, user=one.user) for one in versions.living]
    lost = versions.current is None  # each of the secret's users may still accept an exposed password
    if lost:
        exposed += [ExposedVersion(id=f"the lost value of {user}", stage="unknown", user=user) for user in secret.users]
    users = {version.user for version in versions.all}
    if lost and (repairs := session.salvage()):
        users |= repairs.delivered_users(name)
    living = {version.user for version in versions.living}
    return Incident(
        project=session.manifest.project,
        stack=session.manifest.stack,
        store=session.manifest.store.kind,
        secret=name,
        kind=secret.kind,
        began=now,
        since=since or now - timedelta(days=1),
        known=tuple(version.id for version in versions.all),
        exposed=tuple(exposed),
        retired_users=tuple(
            sorted(each for each in users - living - {*secret.users} if each and secret.kind.alternates)
        ),
        taken_over=secret.users if users.isdisjoint(secret.users) else (),
    )


def compromise(
    session: Session,
    incident: Incident,
    *,
    to: Path,
    files: Sequence[str] = (),
    ask: Ask | None = None,
    notify: Callable[[str], None] = lambda _: None,
    sleep: Callable[[float], None] = time.sleep,
) -> Outcome:
    """Do the remaining steps of `incident`, and write its files to the folder `to`. `notify` gets each step's name.

    `files` are logs of the trail, if it has no API. Raises the errors of `contain`, and StoreError.
    """
    secret, save, begun = session.secret(incident.secret), recorder(to), len(incident.attempts)

    def record(changed: Incident) -> None:
        nonlocal begun
        save(changed)
        if len(changed.attempts) > begun:  # a step is recorded more than once
            notify(changed.attempts[-1].step)
            begun = len(changed.attempts)

    supplied = _supplied(session, secret, incident, ask)
    if not incident.attempts:  # else a run that is at work may have changed the file
        record(incident)
    if remote := session.platform.remote_command(session.manifest):
        progress = _Progress(incident, record)
        code = remote(
            ("compromise", secret.name, "--yes"),
            supplied=supplied,
            files={INCIDENT_FILE: incident.model_dump_json().encode()},
            out=progress,
        )
        incident = progress.incident
        if code != ExitCode.DONE:
            return Outcome(incident, ExitCode(code))
    else:
        incident = contain(session, incident, supplied=supplied, record=record, sleep=sleep)
    incident = incident.begin(Step.TRAIL, session.clock())
    record(incident)
    incident = _with_reads(session, incident, files)
    incident = incident.model_copy(update={"ended": session.clock()})
    record(incident)
    return Outcome(incident, ExitCode.ATTENTION if incident.to_do else ExitCode.DONE)


def run_in_task(session: Session, notify: Callable[[str], None], ask: Ask) -> None:
    """Run `contain` in a task of a Swarm. `notify` receives the incident after each change, as a line of JSON."""
    incident = Incident.model_validate_json(Path(INCIDENT_FILE).read_bytes())
    supplied = _supplied(session, session.secret(incident.secret), incident, ask)
    contain(session, incident, supplied=supplied, record=lambda changed: notify(changed.model_dump_json()))


class _Progress(io.BytesIO):
    """Receives the output of a Swarm task, which prints the whole incident as a line of JSON after each change."""

    def __init__(self, incident: Incident, record: Record) -> None:
        super().__init__()
        self.incident, self._record = incident, record

    def flush(self) -> None:
        whole, _, _ = self.getvalue().rpartition(b"\n")
        if whole:
            incident = Incident.model_validate_json(whole.rpartition(b"\n")[2])
            if incident != self.incident:
                self.incident = incident
                self._record(incident)


def needs_value(session: Session, secret: Secret, incident: Incident) -> bool:
    versions = known_versions(session, secret.name)
    new = [version for version in (versions.current, versions.pending) if version and version.id not in incident.known]
    return not (secret.is_made or new)


def _supplied(session: Session, secret: Secret, incident: Incident, ask: Ask | None) -> Value | None:
    if ask is None or not needs_value(session, secret, incident):
        return None
    value = ask(secret)
    check_fields(secret, value)
    return value


def _with_reads(session: Session, incident: Incident, files: Sequence[str]) -> Incident:
    try:
        view = audit.audit(session.manifest, files, since=incident.since, secret=incident.secret)
    except SecretopsError as error:
        command = f"secretops audit FILE --secret {incident.secret} --since {incident.since:%Y-%m-%dT%H:%M}"
        unread = f"find out who read the secret: {command} ({error.rule or error.what})"
        return incident.end(Step.TRAIL, session.clock(), f"not read: {error.what}", manual=(unread,))
    manual = [f"{problem.value}: {problem.remedy}" for problem in view.problems]
    manual += [
        f"find out who {row.reader} is: {row.outcome} {counted(row.count, 'time', 'times')}, "
        f"last {row.last:%Y-%m-%d %H:%M:%S} UTC"
        for row in view.rows
        if row.alarming
    ]
    accesses = counted(sum(row.count for row in view.rows), "access", "accesses")
    result = f"{accesses} of {counted(len({row.reader for row in view.rows}), 'reader', 'readers')}"
    return incident.model_copy(update={"reads": tuple(view.rows)}).end(
        Step.TRAIL, session.clock(), result, manual=manual
    )
