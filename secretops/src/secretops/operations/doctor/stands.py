"""How one secret stands, whatever store it is in: what the engine's decisions say, and whether readers find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from secretops.engine.decisions import Facts, Reason, findings, grace_over
from secretops.manifest import Secret
from secretops.operations.doctor.check import Result, attention, ok
from secretops.operations.session import Session

STUCK_AFTER = timedelta(hours=2)
"""What the hourly tick would have done is left undone for two of them: ticks fail, or do not run."""


@dataclass(frozen=True)
class SecretStands:
    """Nothing overdue, half-done or expired; and readers find the current version."""

    session: Session
    secret: Secret
    first: Callable[[], object] = lambda: None
    """What has to work before the store is asked. Raises SecretopsError."""

    @property
    def name(self) -> str:
        return f"secret {self.secret.name}"

    def look(self) -> Result:
        self.first()
        facts, now = self.session.facts(self.secret), self.session.clock()
        found = findings(facts, now)
        wrong = [each.message for each in found if each.needs_a_person or _is_stuck(each.reason, facts, now)]
        if astray := self.session.store.astray(self.secret.name):
            wrong.append(astray)
        if wrong:
            return attention(
                "; ".join(wrong),
                "values are rotated on schedule, finished within two ticks, and found by their readers",
                f"secretops status, then secretops tick; its log says why it could not ({self.secret.name})",
            )
        current = facts.versions.current
        notes = "; ".join(each.message for each in found)
        return ok(notes or (f"version {current.id}" if current else "no value yet"))


@dataclass(frozen=True)
class NothingLeft:
    """No value of a secret that left the stack is kept: its readers could still find it, and nobody rotates it."""

    session: Session
    first: Callable[[], object] = lambda: None
    """What has to work before the store is asked. Raises SecretopsError."""
    name: str = "secrets that left"

    def look(self) -> Result:
        self.first()
        if left := self.session.left():
            return attention(
                f"values of {', '.join(left)} are still kept and readable",
                "a secret that left the stack is rotated by nobody; its values go when a person says so",
                "; ".join(f"secretops purge {name} --destroy" for name in left),
            )
        return ok("none has a value left")


def _is_stuck(reason: Reason, facts: Facts, now: datetime) -> bool:
    """Whether a tick should have acted on this long ago."""
    pending, previous = facts.versions.pending, facts.versions.previous
    match reason:
        case Reason.PENDING_LEFT_BEHIND:
            return pending is not None and now > pending.created + STUCK_AFTER
        case Reason.RETIRE_DUE:
            over = grace_over(previous, facts) if previous else None
            return over is not None and now > over + STUCK_AFTER
    return False
