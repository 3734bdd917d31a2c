from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from secretops.engine.decisions import Reason, due_at, findings
from secretops.engine.journal import DONE, PURGE, Entry
from secretops.engine.state import Replica, Version, Versions
from secretops.errors import ExitCode, RefusedError, SecretopsError
from secretops.manifest import Secret, SecretKind
from secretops.operations import broker_access, external_certificates
from secretops.operations.session import Session
from secretops.platform import PUBLIC_LINES

Read = TypeVar("Read")

# Kind of a secret that was removed from the stack: its own kind is unknown.
ORPHANED = "orphaned"

# Kinds of rows that are not about a secret.
NO_SECRETS = (external_certificates.NAME, PUBLIC_LINES)

# Reasons in addition to those of `engine.decisions`.
LOST, STEP_FAILED, DRIFT, UNREADABLE = "values-lost", "step-failed", "delivery-drift", "unreadable"
LOGIN_FAILED = "login-failed"
REASONS = (*(reason.value for reason in Reason), LOST, STEP_FAILED, LOGIN_FAILED, DRIFT, UNREADABLE, ORPHANED)


class Status(StrEnum):
    VERIFIED = "verified"  # the current version has logged in
    CURRENT = "current"  # there is a current version, and no login to test
    WAITING = "waiting"  # waits for its first value
    ATTENTION = "attention"  # see its notes
    UNREADABLE = "unreadable"  # its versions cannot be read; see its notes

    @property
    def needs_a_person(self) -> bool:
        return self in (Status.ATTENTION, Status.UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class SecretStatus:
    name: str
    kind: str
    status: Status
    current: Version | None = None
    due: datetime | None = None
    notes: tuple[str, ...]
    # Reasons for the notes, from REASONS.
    reasons: tuple[str, ...] = ()
    # Servers that report their version; None if unknown.
    replicas: tuple[Replica, ...] | None = None

    @property
    def replica_counts(self) -> str:
        if not self.replicas:
            return "-"
        counts = Counter(replica.version for replica in self.replicas)
        current = self.current.id if self.current else ""
        return ", ".join(
            f"{count} {'current' if version == current else f'on {version}'}"
            for version, count in sorted(counts.items(), key=lambda item: item[0] != current)
        )


def status(session: Session) -> list[SecretStatus]:
    """Return a row for each secret and each orphaned secret. External certificates and public lines have a row if they
    need a person.

    Raises UsageError, and the first error if no secret is readable.
    """
    session.check_owner()
    failures: list[SecretopsError] = []
    rows = [_status(session, secret, failures) for secret in session.manifest.secrets]
    if rows and all(row.status is Status.UNREADABLE for row in rows):
        raise failures[0]
    try:
        rows += [_orphaned(session, name) for name in session.orphans()]
    except SecretopsError as error:
        note = f"orphaned secrets are unknown: {error.note}"
        row = SecretStatus(name="-", kind=ORPHANED, status=Status.UNREADABLE, notes=(note,), reasons=(UNREADABLE,))
        rows.append(row)
    others: dict[str, list[tuple[str, str]]] = {
        external_certificates.NAME: [(one.message, one.reason) for one in external_certificates.findings(session)],
        PUBLIC_LINES: [(note, DRIFT) for note in session.platform.public_drift(session.manifest.store)],
    }
    for name, found in others.items():
        if found:
            notes, reasons = zip(*found, strict=True)
            rows.append(SecretStatus(name=name, kind=name, status=Status.ATTENTION, notes=notes, reasons=reasons))
    return rows


def exit_code(statuses: list[SecretStatus]) -> ExitCode:
    return ExitCode.ATTENTION if any(one.status.needs_a_person for one in statuses) else ExitCode.DONE


def last_failure(session: Session, secret: Secret, current: Version | None) -> Entry | None:
    """Return the last journal entry of `secret` if its step failed, and the current version was not verified or
    published later."""
    last = session.journal.last(secret.name)
    if last is None or last.outcome == DONE:
        return None
    if last.step == "retire" and current and last.version == current.id:
        return None  # of --now, whose error named the remedy: this entry can't show how long it is needed
    good = [when for when in (current.published, current.verified) if when] if current else []
    return None if any(when > last.time for when in good) else last


def failure_note(secret: Secret, failed: Entry, current: Version | None) -> str:
    name, again = secret.name, "tick"
    if failed.step == "verify" and current and failed.version == current.id:
        is_admin = secret.kind is SecretKind.BROKER_ADMIN  # a refused admin cannot rotate
        again = f"put {name}" if is_admin else f"rotate {name}"
    elif failed.step == "prepare":  # no version is pending
        again = f"rotate {name}"
    what = f"{failed.step} failed {failed.time:%Y-%m-%d %H:%M} UTC: {failed.outcome}"
    return f"{what}; to try again: secretops {again}; for all steps: secretops history {name}"


def lost(session: Session, secret: Secret, versions: Versions) -> str | None:
    """Return a note if the values of `secret` are lost: the store has no version, but the last step was a publish or a
    retirement."""
    last = None if versions.all else session.journal.last(secret.name)
    if last is None or last.step not in ("publish", "retire"):
        return None
    return f"the values were lost after {last.time:%Y-%m-%d %H:%M} UTC: see docs/operations/lost-store.md"


def _purged(session: Session, secret: Secret, versions: Versions) -> str:
    last = None if versions.all else session.journal.last(secret.name)
    return f"purged {last.time:%Y-%m-%d %H:%M} UTC; " if last and last.step == PURGE else ""


def _orphaned(session: Session, name: str) -> SecretStatus:
    note = f"not in the stack, but stored and readable: secretops purge {name} --destroy"
    row = SecretStatus(name=name, kind=ORPHANED, status=Status.ATTENTION, notes=(note,), reasons=(ORPHANED,))
    try:
        return replace(row, current=session.store.versions(name).current)
    except SecretopsError as error:
        reasons = (UNREADABLE, ORPHANED)
        return replace(row, status=Status.UNREADABLE, notes=(error.note, note), reasons=reasons)


def _login_note(error: SecretopsError, secret: Secret) -> str:
    if isinstance(error, RefusedError):
        return f"{error.what}: secretops rotate {secret.name}; and find out who changed the user"
    return error.note


def _status(session: Session, secret: Secret, failures: list[SecretopsError]) -> SecretStatus:
    row = SecretStatus(name=secret.name, kind=secret.kind, status=Status.WAITING, notes=())
    try:
        facts = session.facts(secret)
    except SecretopsError as error:
        failures.append(error)
        return replace(row, status=Status.UNREADABLE, notes=(error.note,), reasons=(UNREADABLE,))
    login_errors: list[SecretopsError] = []
    replicas = broker_access.replicas(session, secret, facts.versions, failed=login_errors.append)
    facts = replace(facts, replicas=replicas or ())
    current = facts.versions.current
    unread: list[SecretopsError] = []

    def read(fact: Callable[[], Read]) -> Read | None:
        try:
            return fact()
        except SecretopsError as error:
            unread.append(error)
            return None

    gone = read(lambda: lost(session, secret, facts.versions))
    found = [] if gone else findings(facts, session.clock())
    purged = read(lambda: _purged(session, secret, facts.versions)) or ""
    notes = [gone] if gone else [f"{purged}{finding.message}" for finding in found]
    failed = None if unread else read(lambda: last_failure(session, secret, current))
    if failed:
        notes.append(failure_note(secret, failed, current))
    notes += [_login_note(error, secret) for error in login_errors]
    if drift := read(lambda: session.store.delivery_drift(secret.name)):
        notes.append(drift)
    if secret.agent and current and not current.verified:
        notes.append(f"this key was published untested; to test it: secretops put {secret.name}")
    notes += [error.note for error in unread]
    others = ((gone, LOST), (failed, STEP_FAILED), (login_errors, LOGIN_FAILED), (drift, DRIFT), (unread, UNREADABLE))
    reasons = (*(finding.reason for finding in found), *(reason for is_so, reason in others if is_so))
    result = Status.WAITING
    if any(finding.needs_a_person for finding in found) or any(is_so for is_so, _ in others):
        result = Status.ATTENTION
    elif current:
        result = Status.VERIFIED if current.verified else Status.CURRENT
    row = replace(row, status=result, current=current, due=due_at(facts), replicas=replicas)
    return replace(row, notes=tuple(notes), reasons=reasons)
