"""How one secret stands, whatever store it is in: what the engine's decisions say, and whether readers find it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from secretops.check import Repair, Result, attention, ok
from secretops.engine.decisions import Facts, Finding, Reason, findings, grace_over
from secretops.engine.journal import Entry
from secretops.manifest import Secret, SecretKind
from secretops.operations.doctor.repairs import rotates, ticks
from secretops.operations.session import Session
from secretops.operations.status import last_failure, lost

STUCK_AFTER = timedelta(hours=2)
"""What the hourly tick would have done is left undone for two of them: ticks fail, or do not run."""

SKEW = timedelta(seconds=60)
"""How far ahead of this machine's clock whoever made a version may have been."""

BY_A_TICK = "secretops tick"
"""In what a store says of readers that do not find the current version: the next tick brings them to it."""


@dataclass(frozen=True)
class SecretStands:
    """Nothing overdue, half-done, failed, expired or made in the future; and readers find the current version."""

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
        if gone := lost(self.session, self.secret, facts.versions):
            return attention(gone, "a secret that had a value has one until it is replaced", "that page, step by step")
        found = findings(facts, now)
        stuck = [each.message for each in found if _is_stuck(each.reason, facts, now)]
        wrong = [*stuck, *(each.message for each in found if each.needs_a_person), *_made_ahead(facts, now)]
        if drift := self.session.store.delivery_drift(self.secret.name):
            wrong.append(drift)
        if failed := last_failure(self.session, self.secret, facts.versions.current):
            wrong.append(f"{failed.step} failed {failed.time:%Y-%m-%d %H:%M} UTC: {failed.outcome}")
        if wrong:
            return attention(
                "; ".join(wrong),
                "values are rotated on schedule, finished within two ticks, and found by their readers",
                f"secretops tick: it mends what it can, and says of the rest what does ({self.secret.name})",
                self._repair(facts, found, failed, stuck=bool(stuck) or BY_A_TICK in (drift or "")),
            )
        current = facts.versions.current
        notes = "; ".join(each.message for each in found)
        return ok(notes or (f"version {current.id}" if current else "no value yet"))

    def _repair(self, facts: Facts, found: Sequence[Finding], failed: Entry | None, *, stuck: bool) -> Repair | None:
        """A tick tries all but one thing again: a password that somebody changed takes another version."""
        current = facts.versions.current
        if failed and failed.step == "verify" and current and failed.version == current.id:
            return rotates(self.session, self.secret.name) if self.secret.kind is SecretKind.MQTT_USER else None
        late = self.secret.is_made and any(each.reason in (Reason.OVERDUE, Reason.EXPIRED) for each in found)
        return ticks(self.session) if stuck or late or (failed and self.secret.is_made) else None


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


def _made_ahead(facts: Facts, now: datetime) -> list[str]:
    """Versions of a time that is yet to come: what is due, and what may be let go, is told by it."""
    return [
        f"version {each.id} was made {(each.created - now).total_seconds():.0f} s from now: clocks are apart"
        for each in facts.versions.all
        if each.created - now > SKEW
    ]


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
