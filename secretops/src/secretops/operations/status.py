"""The status of every secret. Changes nothing. Reads the server's value to ask the broker for servers' reports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import TypeVar

from secretops.engine.decisions import due_at, findings
from secretops.engine.journal import DONE, Entry
from secretops.engine.state import Replica, Version, Versions
from secretops.errors import ExitCode, SecretopsError
from secretops.manifest import Secret
from secretops.operations import broker_access, external_certificates
from secretops.operations.session import Session
from secretops.platform import PUBLIC_LINES

Read = TypeVar("Read")

# The kind of a secret that left the stack: its own kind is unknown.
LEFT = "left"

# Kinds of rows that are no secrets.
NO_SECRETS = (external_certificates.NAME, PUBLIC_LINES)


class Standing(StrEnum):
    """The status of a secret in one word."""

    VERIFIED = "verified"  # current, and it logged in
    CURRENT = "current"  # current; nothing to log in to
    WAITING = "waiting"  # for its first value
    ATTENTION = "attention"  # see its notes
    UNREADABLE = "unreadable"  # its versions can't be read; see its notes

    @property
    def needs_a_person(self) -> bool:
        """Return whether it makes `status` end with ATTENTION."""
        return self in (Standing.ATTENTION, Standing.UNREADABLE)


@dataclass(frozen=True, kw_only=True)
class SecretStatus:
    """The status of one secret. Times are UTC."""

    name: str
    kind: str
    standing: Standing
    current: Version | None
    due: datetime | None
    notes: tuple[str, ...]
    # The servers that report which version they use; None if unknown.
    replicas: tuple[Replica, ...] | None = None

    @property
    def replica_counts(self) -> str:
        """The number of servers on each version, for a table."""
        if not self.replicas:
            return "-"
        counts = Counter(replica.version for replica in self.replicas)
        current = self.current.id if self.current else ""
        return ", ".join(
            f"{count} {'current' if version == current else f'on {version}'}"
            for version, count in sorted(counts.items(), key=lambda item: item[0] != current)
        )


def status(session: Session) -> list[SecretStatus]:
    """Return a row for each secret of the stack and each that left it, and for those of NO_SECRETS that need a person.

    A row has a note for each fact that can't be read. Raises UsageError, and the first error if no secret can be read.
    """
    session.check_place()
    failures: list[SecretopsError] = []
    rows = [_status(session, secret, failures) for secret in session.manifest.secrets]
    if rows and all(row.standing is Standing.UNREADABLE for row in rows):
        raise failures[0]
    try:
        rows += [_left(session, name) for name in session.left()]
    except SecretopsError as error:
        note = f"which secrets left the stack is not known: {_note(error)}"
        rows.append(_row("-", LEFT, Standing.UNREADABLE, note))
    others = {
        external_certificates.NAME: [one.message for one in external_certificates.findings(session)],
        PUBLIC_LINES: session.platform.public_drift(session.manifest.store),
    }
    return rows + [_row(name, name, Standing.ATTENTION, *notes) for name, notes in others.items() if notes]


def exit_code(statuses: list[SecretStatus]) -> ExitCode:
    """Return ATTENTION if a secret needs a person, else DONE."""
    return ExitCode.ATTENTION if any(one.standing.needs_a_person for one in statuses) else ExitCode.DONE


def last_failure(session: Session, secret: Secret, current: Version | None) -> Entry | None:
    """Return the last step of `secret`, if it failed and nothing of its current version succeeded since."""
    last = session.journal.last(secret.name)
    good = [when for when in (current.published, current.verified) if when] if current else []
    return last if last and last.outcome != DONE and not any(when > last.time for when in good) else None


def lost(session: Session, secret: Secret, versions: Versions) -> str | None:
    """Return a note that the versions of `secret` are gone, if the journal's last entry is of a version in use.

    A secret that was only ever `put` has no entry: it looks as if it had never had a value, and is put again.
    """
    last = None if versions.all else session.journal.last(secret.name)
    if last is None or last.step not in ("publish", "retire"):
        return None
    return (
        f"its values are gone: there was one on {last.time:%Y-%m-%d %H:%M}, and it was purged since, or lost: "
        "see docs/operations/lost-store.md"
    )


def _left(session: Session, name: str) -> SecretStatus:
    note = f"left the stack, and its values are still kept and readable: secretops purge {name} --destroy"
    try:
        current = session.store.versions(name).current
    except SecretopsError as error:
        return _row(name, LEFT, Standing.UNREADABLE, _note(error), note)
    return _row(name, LEFT, Standing.ATTENTION, note, current=current)


def _row(name: str, kind: str, standing: Standing, *notes: str, current: Version | None = None) -> SecretStatus:
    return SecretStatus(name=name, kind=kind, standing=standing, current=current, due=None, notes=notes)


def _note(error: SecretopsError) -> str:
    return f"{error.what}: {error.remedy}" if error.remedy else error.what


def _status(session: Session, secret: Secret, failures: list[SecretopsError]) -> SecretStatus:
    """Return one row, with a note for each error. Adds the error of an unreadable secret to `failures`."""
    try:
        facts = session.facts(secret)
    except SecretopsError as error:
        failures.append(error)
        return _row(secret.name, secret.kind, Standing.UNREADABLE, _note(error))
    replicas = broker_access.replicas(session, secret, facts.versions)
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
    notes = [gone] if gone else [finding.message for finding in found]
    failed = None if unread else read(lambda: last_failure(session, secret, current))
    if failed:
        notes.append(f"{failed.step} failed {failed.time:%Y-%m-%d %H:%M}: {failed.outcome}")
    if drift := read(lambda: session.store.delivery_drift(secret.name)):
        notes.append(drift)
    if secret.agent and current and not current.verified:
        notes.append("the agent was never shown this key: it was put with --untested")
    notes += [_note(error) for error in unread]
    standing = Standing.WAITING
    if any(finding.needs_a_person for finding in found) or gone or failed or drift or unread:
        standing = Standing.ATTENTION
    elif current:
        standing = Standing.VERIFIED if current.verified else Standing.CURRENT
    return SecretStatus(
        name=secret.name,
        kind=secret.kind,
        standing=standing,
        current=current,
        due=due_at(facts),
        notes=tuple(notes),
        replicas=replicas,
    )
