"""How every secret stands. Changes nothing. The server's own value is used to ask the broker which servers use it."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from secretops.engine.decisions import due_at, findings
from secretops.engine.journal import Entry
from secretops.engine.state import Replica, Version, Versions
from secretops.errors import ExitCode
from secretops.manifest import Secret
from secretops.operations import watched
from secretops.operations.session import Session

LEFT = "left"
"""The kind of a secret that the stack has no more, of which nobody knows which it was."""


class Standing(StrEnum):
    """The one word for a secret."""

    VERIFIED = "verified"  # current, and it logged in
    CURRENT = "current"  # current; nothing to log in to
    WAITING = "waiting"  # for its first value
    ATTENTION = "attention"  # see its notes


@dataclass(frozen=True, kw_only=True)
class SecretStatus:
    """How one secret stands. Times are UTC."""

    name: str
    kind: str
    standing: Standing
    current: Version | None
    due: datetime | None
    notes: tuple[str, ...]
    replicas: tuple[Replica, ...] | None = None
    """The servers that report which version they use; None where nobody does or the broker can't be asked."""

    @property
    def told_replicas(self) -> str:
        """Them, for a table: how many are on which version."""
        if not self.replicas:
            return "-"
        counts = Counter(replica.version for replica in self.replicas)
        current = self.current.id if self.current else ""
        return ", ".join(
            f"{count} {'current' if version == current else f'on {version}'}"
            for version, count in sorted(counts.items(), key=lambda item: item[0] != current)
        )


def status(session: Session) -> list[SecretStatus]:
    """Every secret of the stack, what is still kept of those that left it, and what others' certificates need a person
    for. Raises StoreError, UsageError.
    """
    session.check_place()
    return [
        *(_status(session, secret) for secret in session.manifest.secrets),
        *(_left(session, name) for name in session.left()),
        *_watched(session),
    ]


def exit_code(statuses: list[SecretStatus]) -> ExitCode:
    """ATTENTION when a secret needs a person, else DONE."""
    return ExitCode.ATTENTION if any(one.standing is Standing.ATTENTION for one in statuses) else ExitCode.DONE


def last_failure(session: Session, secret: Secret, current: Version | None) -> Entry | None:
    """How the last step of `secret` ended, if that was badly and nothing of its current version succeeded since."""
    last = session.journal.last(secret.name)
    good = [when for when in (current.published, current.verified) if when] if current else []
    return last if last and last.outcome != "done" and not any(when > last.time for when in good) else None


def lost(session: Session, secret: Secret, versions: Versions) -> str | None:
    """That there is no version of `secret` any more, although the journal's last word on it is of one that was used.

    One that was only ever `put` has no word there: it looks as if it had never had a value, and is put again.
    """
    last = None if versions.all else session.journal.last(secret.name)
    if last is None or last.step not in ("publish", "retire"):
        return None
    return (
        f"its values are gone: there was one on {last.time:%Y-%m-%d %H:%M}, and it was purged since, or lost: "
        "see docs/operations/lost-store.md"
    )


def _left(session: Session, name: str) -> SecretStatus:
    return SecretStatus(
        name=name,
        kind=LEFT,
        standing=Standing.ATTENTION,
        current=session.store.versions(name).current,
        due=None,
        notes=(f"left the stack, and its values are still kept and readable: secretops purge {name} --destroy",),
    )


def _watched(session: Session) -> list[SecretStatus]:
    found = watched.findings(session)
    notes = tuple(one.message for one in found)
    row = SecretStatus(
        name=watched.NAME, kind=watched.NAME, standing=Standing.ATTENTION, current=None, due=None, notes=notes
    )
    return [row] if found else []


def _status(session: Session, secret: Secret) -> SecretStatus:
    replicas = session.replicas(secret)
    facts = session.facts(secret, replicas or ())
    current = facts.versions.current
    gone = lost(session, secret, facts.versions)
    found = [] if gone else findings(facts, session.clock())
    notes = [gone] if gone else [finding.message for finding in found]
    failed = last_failure(session, secret, current)
    if failed:
        notes.append(f"{failed.step} failed {failed.time:%Y-%m-%d %H:%M}: {failed.outcome}")
    if astray := session.store.astray(secret.name):
        notes.append(astray)
    if secret.agent and current and not current.verified:
        notes.append("the agent was never shown this key: it was put with --untested")
    if any(finding.needs_a_person for finding in found) or gone or failed or astray:
        standing = Standing.ATTENTION
    elif current is None:
        standing = Standing.WAITING
    else:
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
