"""The report of a stack: age of each secret, history, accesses and open findings. It contains no secret value."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from secretops.check import Level, Result, attention
from secretops.engine.journal import Entry
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.formats import counted
from secretops.operations import doctor, external_certificates
from secretops.operations.audit import View, audit
from secretops.operations.doctor import ORPHANS
from secretops.operations.external_certificates import ExternalCertificate
from secretops.operations.history import history
from secretops.operations.log_reader import STDIN
from secretops.operations.session import Session
from secretops.operations.status import NO_SECRETS, ORPHANED, SecretStatus, Status, status
from secretops.trails import ALL

DAY = timedelta(days=1)

# Without --since, an access by an undeclared reader is an open finding for this long.
OPEN_DAYS = 30 * DAY


@dataclass(frozen=True, kw_only=True)
class SecretAge:
    name: str
    kind: str
    status: Status
    version: str | None
    # When the current value was published, or a certificate was created.
    since: datetime | None
    age_days: float | None
    # None for an orphaned secret.
    cadence_days: int | None
    # Elapsed share of the time until the next value is due; 1 means due.
    used: float | None
    due: datetime | None
    expires: datetime | None
    servers: str
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Coming:
    """When a secret's next value is due, and when a value or certificate expires."""

    name: str
    # Where an external certificate was found; else empty.
    source: str
    due: datetime | None
    ends: datetime | None

    @property
    def first(self) -> datetime:
        return min(time for time in (self.due, self.ends) if time)


@dataclass(frozen=True, kw_only=True)
class OpenFinding:
    where: str
    level: Level
    what: str
    rule: str = ""
    remedy: str = ""

    @classmethod
    def of(cls, where: str, result: Result) -> OpenFinding:
        return cls(where=where, level=result.level, what=result.value, rule=result.rule, remedy=result.remedy)


@dataclass(frozen=True, kw_only=True)
class Reads:
    view: View | None
    lacking: str = ""


@dataclass(frozen=True, kw_only=True)
class Report:
    project: str
    stack: str
    store: str
    made: datetime
    # Start of the reported accesses and steps; None for all.
    since: datetime | None
    findings: tuple[OpenFinding, ...]
    examined: bool
    # Sorted by the elapsed share of the cadence, the highest first.
    secrets: tuple[SecretAge, ...]
    certificates: tuple[ExternalCertificate, ...]
    # History, oldest first, and what is missing in it.
    steps: tuple[Entry, ...]
    steps_lacking: str
    reads: Reads

    @property
    def next_due(self) -> datetime | None:
        return min((one.due for one in self.secrets if one.due and one.due > self.made), default=None)

    @property
    def coming(self) -> tuple[Coming, ...]:
        found = [
            *(Coming(name=one.name, source="", due=one.due, ends=one.expires) for one in self.secrets),
            *(Coming(name=one.name, source=one.source, due=None, ends=one.ends) for one in self.certificates),
        ]
        dated = [one for one in found if one.due or one.ends]
        return tuple(sorted(dated, key=lambda one: (one.first, one.name)))

    @property
    def exit_code(self) -> ExitCode:
        return ExitCode.ATTENTION if self.findings else ExitCode.DONE


def report(
    session: Session,
    *,
    since: datetime | None = None,
    trail: Sequence[str] = (),
    journal: Sequence[str] = (),
    examine: bool = True,
) -> Report:
    """Make a report. `trail` and `journal` are files; `examine` runs doctor. Raises UsageError, StoreError,
    UnreachableError."""
    if STDIN in trail and STDIN in journal:
        what, rule = (
            "--trail - and --journal -: both read standard input",
            "standard input can be only one of the two logs",
        )
        raise UsageError(what, rule=rule, remedy="pass a file for one of the two logs", code="input-ambiguous")
    statuses = status(session)
    done = history(session, journal, since)
    reads = _reads(session, trail, since)
    now = session.clock()
    certificates: tuple[ExternalCertificate, ...] = ()
    unread: SecretopsError | None = None
    try:
        certificates = external_certificates.find(session)
    except SecretopsError as error:
        unread = error
    cadences = {secret.name: secret.cadence_days for secret in session.manifest.secrets}
    ages = (_age(one, cadences.get(one.name), now) for one in statuses if one.kind not in NO_SECRETS)
    return Report(
        project=session.manifest.project,
        stack=session.manifest.stack,
        store=session.manifest.store.kind,
        made=now,
        since=since,
        findings=tuple(_findings(session, statuses, unread, examine=examine))
        + tuple(_open_reads(reads.view, since or now - OPEN_DAYS) if reads.view else ()),
        examined=examine,
        secrets=tuple(sorted(ages, key=lambda one: (-(one.used if one.used is not None else -1.0), one.name))),
        certificates=certificates,
        steps=done.entries,
        steps_lacking=done.lacking,
        reads=reads,
    )


def _age(one: SecretStatus, cadence_days: int | None, now: datetime) -> SecretAge:
    current, due, used = one.current, one.due, None
    since = (current.created if current.expires else current.published or current.created) if current else None
    age = max(now - since, timedelta()) if since else None
    if age is not None and since and due:
        used = age / (due - since) if due > since else 1.0
    return SecretAge(
        name=one.name,
        kind=one.kind,
        status=one.status,
        version=current.id if current else None,
        since=since,
        age_days=age / DAY if age is not None else None,
        cadence_days=cadence_days,
        used=used,
        due=due,
        expires=current.expires if current else None,
        servers=one.replica_counts,
        notes=one.notes,
    )


def _reads(session: Session, trail: Sequence[str], since: datetime | None) -> Reads:
    """Return the accesses since a time. Raises an error only if `trail` has files."""
    try:
        return Reads(view=audit(session.manifest, trail, since=since))
    except SecretopsError as error:
        if trail:
            raise
        return Reads(view=None, lacking=str(error).replace("secretops audit FILE…", "secretops report --trail FILE"))


def _findings(
    session: Session, statuses: Sequence[SecretStatus], unread: SecretopsError | None, *, examine: bool
) -> Iterator[OpenFinding]:
    reported = set[str]()
    for name, result in doctor.doctor(doctor.checks(session) if examine else []):
        if result.level is not Level.OK:
            reported.add(name)
            yield OpenFinding.of(name, result)
    for one in statuses:
        where = one.kind if one.kind in NO_SECRETS else ORPHANS if one.kind == ORPHANED else f"secret {one.name}"
        if one.status.needs_a_person and where not in reported:
            yield OpenFinding(where=where, level=Level.ATTENTION, what="; ".join(one.notes))
    if unread and external_certificates.NAME not in reported:
        yield OpenFinding.of(external_certificates.NAME, Result.of(unread, Level.UNKNOWN))


def _open_reads(view: View, since: datetime) -> Iterator[OpenFinding]:
    for row in view.rows:
        if row.alarming and row.last >= since:
            did = f"{row.operation} of {'every secret' if row.secret == ALL else row.secret}, {row.outcome}"
            what = f"{row.reader}: {did}; {counted(row.count, 'time', 'times')}, last {row.last:%Y-%m-%d %H:%M} UTC"
            remedy = "find out who the reader was; declare this reader, or replace the secret"
            yield OpenFinding.of("reads", attention(what, "only declared readers may get a value", remedy))
    for problem in view.problems:
        yield OpenFinding.of("reads", problem)
