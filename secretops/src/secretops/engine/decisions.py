"""What should happen to a secret now, as an ordered list of pure functions that reads aloud.

Each is `(Facts, now) -> Finding | None`. Nothing here touches a store, a broker or a clock. `decide` takes the first
finding that asks for an action; `findings` gives them all, for a person to read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from secretops.engine.issued_ids import issued_otherwise
from secretops.engine.state import Replica, Version, Versions
from secretops.manifest import Reader, Secret, SecretKind

OVERDUE_AFTER = timedelta(days=1)
"""A rotation that is due is made by the next hourly tick; one day late means that ticks fail or do not run."""

RENEW_AT = 2 / 3
"""The share of its life after which a certificate is due, as cert-manager renews by default."""

SPREAD = 1 / 30
"""The share of its life by which one that secretops renews may be due sooner: not all of a plant ask on one day."""

UNKNOWN = "unknown"
"""What a server reports as its version when its source does not say one."""


class Reason(StrEnum):
    """Why something should happen."""

    AWAITS_FIRST_VALUE = "awaits-first-value"
    PENDING_LEFT_BEHIND = "pending-left-behind"
    RETIRE_DUE = "retire-due"
    REPLICA_BEHIND = "replica-behind"
    NEVER_ROTATED = "never-rotated"
    DUE = "due"
    NEAR_EXPIRY = "near-expiry"
    EXPIRED = "expired"
    DISTRUSTED = "distrusted"
    OVERDUE = "overdue"


class Action(StrEnum):
    """What follows from a finding."""

    ROTATE = "rotate"
    RESUME = "resume"
    RETIRE = "retire"
    TELL = "tell"  # nothing secretops can do by itself


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that a decision may look at."""

    secret: Secret
    versions: Versions
    grace: timedelta
    replicas: tuple[Replica, ...] = ()
    # Reports of running servers, where they were read.
    expected: int | None = None
    # Number of servers expected to report; None where nobody knows it. One that is silent may hold the previous
    # version: it restarts, or has lost the broker for a moment.
    guarded: bool = False
    # Whether only the user that a report names can have written it, by the broker's access list (docs/adr/0003).
    supplied_by: str = ""
    """The command that brings a first value, where that is not `secretops put`."""
    let_go: bool = False
    """Of a CA, where that has been looked at: nothing living is signed by its previous version."""


@dataclass(frozen=True)
class Finding:
    """One reason for one action, told to a person."""

    reason: Reason
    action: Action
    message: str

    @property
    def needs_a_person(self) -> bool:
        """Whether it makes a command end with ExitCode.ATTENTION. A secret nobody has filled in yet does not."""
        return self.action is Action.TELL and self.reason is not Reason.AWAITS_FIRST_VALUE


Decision = Callable[[Facts, datetime], Finding | None]


def grace_of(facts: Facts) -> timedelta:
    """How long the readers of a replaced version have. The rotator needs no time: it reads anew under each lease.

    So an admin that turns out broken can be replaced at once.
    """
    return facts.grace if Reader.SERVER in facts.secret.readers else timedelta()


def left_by_operator(facts: Facts) -> bool:
    """Whether the pending version is what a `put` that was cut short left, and not a rotation of secretops' own.

    Its user is none of the secret's; or it is an admin, and there was none yet that could have made it.
    """
    pending = facts.versions.pending
    if pending is None:
        return False
    first_admin = facts.secret.kind is SecretKind.BROKER_ADMIN and facts.versions.current is None
    return pending.user not in facts.secret.users or first_admin


def grace_over(version: Version, facts: Facts) -> datetime | None:
    """When the readers of `version`, which has been replaced, must have let it go. None when it is not known yet.

    Counted from the delivery of its successor: a reader cannot let go of what it has not been given a successor for.
    """
    current = facts.versions.current
    if version is current or current is None or current.published is None:
        return None
    return current.published + grace_of(facts)


def awaits_first_value(facts: Facts, now: datetime) -> Finding | None:
    """Only an operator can supply the first value of a kind that secretops does not make."""
    if facts.secret.is_begun or facts.versions.current:
        return None
    by = facts.supplied_by or f"secretops put {facts.secret.name}"
    return Finding(Reason.AWAITS_FIRST_VALUE, Action.TELL, f"has no value yet: {by}")


def pending_left_behind(facts: Facts, now: datetime) -> Finding | None:
    """A rotation stopped half-way. It is finished before anything else is begun."""
    pending = facts.versions.pending
    if pending is None:
        return None
    what = "was left pending"
    if facts.secret.kind is SecretKind.CA:
        what = "is pending until the broker trusts it: give it what `secretops trust` prints"
    return Finding(Reason.PENDING_LEFT_BEHIND, Action.RESUME, f"version {pending.id} {what}")


def retire_due(facts: Facts, now: datetime) -> Finding | None:
    """The grace of the previous version is over, or every server reports the current one."""
    previous = facts.versions.previous
    if previous is None or previous.retired or not facts.secret.is_made:
        return None
    if facts.secret.kind is SecretKind.CA:
        signed = f"version {previous.id}: no living certificate is signed by it"
        return Finding(Reason.RETIRE_DUE, Action.RETIRE, signed) if facts.let_go else None
    over = grace_over(previous, facts)
    if over is None:
        return None
    if now >= over:
        return Finding(
            Reason.RETIRE_DUE, Action.RETIRE, f"version {previous.id} is past its grace: the next tick retires it"
        )
    if facts.guarded and all_report_current(facts):
        return Finding(Reason.RETIRE_DUE, Action.RETIRE, f"no server uses the previous version {previous.id}")
    return None


def all_report_current(facts: Facts) -> bool:
    """Return whether exactly the expected servers report, and all of them the current version."""
    return len(facts.replicas) == facts.expected and not behind(facts)


def behind(facts: Facts) -> tuple[Replica, ...]:
    """Return the servers that report another version than the current one, or are logged in as another user."""
    current = facts.versions.current
    if current is None:
        return ()

    def is_behind(replica: Replica) -> bool:
        return replica.user != current.user or replica.version not in (UNKNOWN, current.id)

    return tuple(replica for replica in facts.replicas if is_behind(replica))


def replica_behind(facts: Facts, now: datetime) -> Finding | None:
    """A server still uses the previous version after the grace: its user is retired all the same."""
    previous = facts.versions.previous
    over = grace_over(previous, facts) if previous else None
    if over is None or now < over or not (late := behind(facts)):
        return None
    names = ", ".join(f"{replica.id} is on version {replica.version}" for replica in late)
    return Finding(Reason.REPLICA_BEHIND, Action.TELL, f"{names}, past the grace: see that server's log")


def never_rotated(facts: Facts, now: datetime) -> Finding | None:
    """The first value of a kind that secretops makes is made by the first rotation."""
    if not facts.secret.is_begun or facts.versions.current:
        return None
    return Finding(Reason.NEVER_ROTATED, Action.ROTATE, "has no value yet: secretops tick makes it")


def renewal_at(version: Version) -> datetime | None:
    """When a certificate that secretops renews is due: at two thirds of its life, or sooner by what its id says.

    None for what does not end by itself.
    """
    if version.expires is None:
        return None
    sooner = SPREAD * int.from_bytes(hashlib.sha256(version.id.encode()).digest()[:4]) / 2**32
    return version.created + (version.expires - version.created) * (RENEW_AT - sooner)


def due_at(facts: Facts) -> datetime | None:
    """When the next value is due by the cadence, or by the end of what ends. None before there is a first one."""
    current = facts.versions.current
    if current is None:
        return None
    by_cadence = _by_cadence(current, facts.secret)
    if not facts.secret.is_issued:  # a supplied one that says when it ends needs no backstop
        return _near_end(current) or by_cadence
    return min(by_cadence, renewal_at(current) or by_cadence)


def _by_cadence(current: Version, secret: Secret) -> datetime:
    return (current.published or current.created) + timedelta(days=secret.cadence_days)


def _near_end(version: Version) -> datetime | None:
    """When a person is told to put the next one. All by one time: nobody is asked by it."""
    if version.expires is None:
        return None
    return version.created + (version.expires - version.created) * RENEW_AT


def due(facts: Facts, now: datetime) -> Finding | None:
    """The cadence is over, or for what secretops renews two thirds of a life are, or its issuer's settings changed."""
    current = facts.versions.current
    if current is None:
        return None
    issuer = facts.secret.issuer
    if issuer and issued_otherwise(current.id, issuer):
        return Finding(Reason.DUE, Action.ROTATE, "was issued under another issuer, name or life")
    at = due_at(facts) if facts.secret.is_made or current.expires is None else None  # see near_expiry
    if at is None or now < at:
        return None
    if facts.secret.is_made:
        return Finding(Reason.DUE, Action.ROTATE, f"due since {at:%Y-%m-%d}")
    return Finding(Reason.DUE, Action.TELL, f"due since {at:%Y-%m-%d}: secretops put {facts.secret.name}")


def near_expiry(facts: Facts, now: datetime) -> Finding | None:
    """A value that is valid only until a day (a certificate) is replaced at two thirds of its life.

    One that secretops renews is due by then, and here only when it came to its end.
    """
    current = facts.versions.current
    if current is None or current.expires is None:
        return None
    name = facts.secret.name
    if facts.secret.is_issued:
        ended = f"expired {current.expires:%Y-%m-%d %H:%M}: is the schedule on?"
        return Finding(Reason.EXPIRED, Action.TELL, ended) if now >= current.expires else None
    if now >= current.expires:
        return Finding(Reason.EXPIRED, Action.TELL, f"expired {current.expires:%Y-%m-%d %H:%M}: secretops put {name}")
    if now < (_near_end(current) or now):
        return None
    return Finding(Reason.NEAR_EXPIRY, Action.TELL, f"expires {current.expires:%Y-%m-%d}: secretops put {name}")


def overdue(facts: Facts, now: datetime) -> Finding | None:
    """Due for so long that something is wrong with the schedule or the rotation."""
    at, current = due_at(facts), facts.versions.current
    if at is None or current is None or not facts.secret.is_made:
        return None
    if facts.secret.kind is SecretKind.CA and facts.versions.pending:  # the schedule has done its part
        return None
    patience = OVERDUE_AFTER
    if facts.secret.is_issued and current.expires:  # of a short life there is less than a day left
        patience = min(patience, max(timedelta(), (current.expires - at) / 2))
    if now < at + patience:
        return None
    return Finding(Reason.OVERDUE, Action.TELL, f"overdue since {at + patience:%Y-%m-%d}: is the schedule on?")


DECISIONS: tuple[Decision, ...] = (
    awaits_first_value,
    pending_left_behind,
    retire_due,
    replica_behind,
    never_rotated,
    due,
    near_expiry,
    overdue,
)
"""In the order in which they are acted on: finish, then let go, then begin."""


def findings(facts: Facts, now: datetime) -> tuple[Finding, ...]:
    """Everything there is to say about a secret now."""
    return tuple(finding for decision in DECISIONS if (finding := decision(facts, now)))


def decide(facts: Facts, now: datetime) -> Finding | None:
    """The first thing to do about a secret now, or None."""
    return next((finding for finding in findings(facts, now) if finding.action is not Action.TELL), None)
