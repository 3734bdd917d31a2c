"""The report of a stack: age of each secret, history, accesses and open findings. It has no value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from secretops.check import Level
from secretops.engine.journal import Entry
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.operations import doctor, external_certificates
from secretops.operations.audit import View, audit, named
from secretops.operations.doctor.common import ORPHANS
from secretops.operations.external_certificates import Watched
from secretops.operations.history import history
from secretops.operations.log_reader import STDIN
from secretops.operations.session import Session
from secretops.operations.status import LEFT, NO_SECRETS, SecretStatus, Standing, status
from secretops.trails import ALL

DAY = timedelta(days=1)

# How long an access by an undeclared reader is an open finding, without --since.
OPEN_DAYS = 30 * DAY


@dataclass(frozen=True, kw_only=True)
class Aged:
    """One secret and its policy. Times are UTC."""

    name: str
    kind: str
    standing: Standing
    version: str | None
    since: datetime | None
    """The publish time of the current value; of a certificate, when it was made."""
    age_days: float | None
    cadence_days: int | None
    """The policy; None for a secret that left the stack."""
    used: float | None
    """The elapsed share of the time until the next value is due. 1 is due."""
    due: datetime | None
    expires: datetime | None
    """The end of a certificate."""
    servers: str
    """Servers by version."""
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Coming:
    """A date: of a secret's next value, or the end of a value or certificate."""

    name: str
    source: str
    """Where an external certificate was seen; else empty."""
    due: datetime | None
    ends: datetime | None

    @property
    def first(self) -> datetime:
        return min(time for time in (self.due, self.ends) if time)


@dataclass(frozen=True, kw_only=True)
class Open:
    """An open finding."""

    where: str
    """A check of doctor, or a secret."""
    level: Level
    what: str
    rule: str = ""
    remedy: str = ""


@dataclass(frozen=True, kw_only=True)
class Reads:
    """The accesses, or why the trail could not be read."""

    view: View | None
    lacking: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    """The state of a stack at `made`."""

    project: str
    stack: str
    store: str
    made: datetime
    since: datetime | None
    """The start of accesses and steps; None for all."""
    findings: tuple[Open, ...]
    examined: bool
    """Whether doctor ran."""
    secrets: tuple[Aged, ...]
    """In the order of `used`, the highest first."""
    certificates: tuple[Watched, ...]
    """External certificates."""
    steps: tuple[Entry, ...]
    """The history, oldest first."""
    steps_lacking: str
    """As `History.lacking`."""
    reads: Reads

    @property
    def next_due(self) -> datetime | None:
        """The next date in the future when a value is due."""
        return min((one.due for one in self.secrets if one.due and one.due > self.made), default=None)

    @property
    def coming(self) -> tuple[Coming, ...]:
        """All dates, in order."""
        found = [
            *(Coming(name=one.name, source="", due=one.due, ends=one.expires) for one in self.secrets),
            *(Coming(name=one.name, source=one.source, due=None, ends=one.ends) for one in self.certificates),
        ]
        dated = [one for one in found if one.due or one.ends]
        return tuple(sorted(dated, key=lambda one: (one.first, one.name)))

    @property
    def exit_code(self) -> ExitCode:
        """ATTENTION with open findings, else DONE."""
        return ExitCode.ATTENTION if self.findings else ExitCode.DONE


def report(
    session: Session,
    *,
    since: datetime | None = None,
    trail: Sequence[str] = (),
    journal: Sequence[str] = (),
    examine: bool = True,
) -> Report:
    """Make a report. `trail` and `journal` are files; `examine` runs doctor.

    Raises UsageError, also for an unreadable file, StoreError, UnreachableError.
    """
    if STDIN in trail and STDIN in journal:
        raise UsageError(
            "trail and journal: both from standard input", rule="it is read once", remedy="name a file for one of them"
        )
    statuses = status(session)
    done = history(session, journal, since)
    reads = _reads(session, trail, since)
    now = session.clock()
    seen: tuple[Watched, ...] = ()
    unseen: SecretopsError | None = None
    try:
        seen = external_certificates.watched(session)
    except SecretopsError as error:
        unseen = error
    cadences = {secret.name: secret.cadence_days for secret in session.manifest.secrets}
    aged = (_aged(one, cadences.get(one.name), now) for one in statuses if one.kind not in NO_SECRETS)
    return Report(
        project=session.manifest.project,
        stack=session.manifest.stack,
        store=session.manifest.store.kind,
        made=now,
        since=since,
        findings=tuple(_findings(session, statuses, unseen, examine=examine))
        + tuple(_open_reads(reads.view, since or now - OPEN_DAYS) if reads.view else ()),
        examined=examine,
        secrets=tuple(sorted(aged, key=lambda one: (-(one.used if one.used is not None else -1.0), one.name))),
        certificates=seen,
        steps=done.entries,
        steps_lacking=done.lacking,
        reads=reads,
    )


def _aged(one: SecretStatus, cadence_days: int | None, now: datetime) -> Aged:
    current = one.current
    since = (current.created if current.expires else current.published or current.created) if current else None
    age = max(now - since, timedelta()) if since else None
    return Aged(
        name=one.name,
        kind=one.kind,
        standing=one.standing,
        version=current.id if current else None,
        since=since,
        age_days=age / DAY if age is not None else None,
        cadence_days=cadence_days,
        used=_used(since, one.due, now) if since and one.due else None,
        due=one.due,
        expires=current.expires if current else None,
        servers=one.replica_counts,
        notes=one.notes,
    )


def _used(since: datetime, due: datetime, now: datetime) -> float:
    """Return the elapsed share of the time; 1 if it was due before it began."""
    return max(now - since, timedelta()) / (due - since) if due > since else 1.0


def _reads(session: Session, trail: Sequence[str], since: datetime | None) -> Reads:
    """Return the accesses. Raises an error only for a trail in `trail`."""
    try:
        return Reads(view=audit(session.manifest, trail, since=since))
    except SecretopsError as error:
        if trail:
            raise
        return Reads(view=None, lacking=str(error).replace("secretops audit FILE…", "secretops report --trail FILE"))


def _findings(
    session: Session,
    statuses: Sequence[SecretStatus],
    unseen: SecretopsError | None,
    *,
    examine: bool,
) -> Iterator[Open]:
    """Yield doctor's findings, then those that it does not have."""
    reported = set[str]()
    for name, result in doctor.doctor(doctor.checks(session) if examine else []):
        if result.level is not Level.OK:
            reported.add(name)
            yield Open(where=name, level=result.level, what=result.value, rule=result.rule, remedy=result.remedy)
    for one in statuses:
        where = one.kind if one.kind in NO_SECRETS else f"secret {one.name}"
        if one.kind == LEFT:
            where = ORPHANS
        if one.standing.needs_a_person and where not in reported:
            yield Open(where=where, level=Level.ATTENTION, what="; ".join(one.notes))
    where = external_certificates.NAME
    if unseen and where not in reported:
        yield Open(where=where, level=Level.UNKNOWN, what=unseen.what, rule=unseen.rule, remedy=unseen.remedy)


def _open_reads(view: View, since: datetime) -> Iterator[Open]:
    for row in view.rows:
        if row.alarming and row.last >= since:
            did = f"{row.operation} of {'every secret' if row.secret == ALL else row.secret}, {row.outcome}"
            yield Open(
                where="reads",
                level=Level.ATTENTION,
                what=f"{row.reader}: {did}; {row.count} in all, the last {row.last:%Y-%m-%d %H:%M}",
                rule="only readers that the stack declares get a value",
                remedy="find out who it was; declare them, or replace what they read",
            )
    if view.not_whole:
        yield Open(
            where="reads",
            level=Level.UNKNOWN,
            what=f"could not be read whole: {named(view.not_whole)}",
            rule="what is missing may be what matters",
            remedy="get it again, then report on all of them together",
        )
    if view.bodies:
        yield Open(
            where="reads",
            level=Level.ATTENTION,
            what=f"{view.bodies} records of the trail hold a value: whoever reads it can read them",
            rule="a trail says who and what, never the value",
            remedy="take the stack's policy (level Metadata), then rotate what was read; guard or remove this log",
        )
