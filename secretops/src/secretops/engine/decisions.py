"""Pure functions that decide what a secret needs now. DECISIONS has them in order of priority.

Each decision is `(Facts, now) -> Finding | None`, without access to a store, a broker or a clock.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from secretops.engine.state import Replica, Version, Versions
from secretops.manifest import Issuer, Reader, Secret, SecretKind

# A due rotation waits for the next hourly tick. One day late means that ticks fail or do not run.
OVERDUE_AFTER = timedelta(days=1)

# A certificate is due after this share of its life, as by default in cert-manager.
RENEW_AT = 2 / 3

# A renewal may be due sooner by up to this share of the life, so that certificates are not all renewed on one day.
SPREAD = 1 / 30

# Version that a server reports if its source names no version.
UNKNOWN = "unknown"

# Hex digits at the end of an issued version's id: a mark, computed from the digits before it, and the digest of the
# issuer's settings. In the id of a supplied version these digits are random.
_MARK, _SETTINGS = 4, 6


class Reason(StrEnum):
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
    ROTATE = "rotate"
    RESUME = "resume"
    RETIRE = "retire"
    NOTIFY = "notify"  # only a person can act


@dataclass(frozen=True, kw_only=True)
class Facts:
    secret: Secret
    versions: Versions
    grace: timedelta
    # Reports of running servers; empty if they were not read.
    replicas: tuple[Replica, ...] = ()
    # Number of servers expected to report; None if unknown. A silent server may still use the previous version.
    expected: int | None = None
    # True if the broker's access list proves who wrote each report (docs/adr/0003).
    guarded: bool = False
    # Command that supplies a first value; `secretops put` if empty.
    supplied_by: str = ""
    # For a CA: True if its previous version signed no certificate that is still valid.
    safe_to_retire: bool = False


@dataclass(frozen=True)
class Finding:
    reason: Reason
    action: Action
    message: str

    @property
    def needs_a_person(self) -> bool:
        """Return whether a person must act. Commands then exit with ExitCode.ATTENTION."""
        return self.action is Action.NOTIFY and self.reason is not Reason.AWAITS_FIRST_VALUE


Decision = Callable[[Facts, datetime], Finding | None]


def grace_period(facts: Facts) -> timedelta:
    """Return how long readers may use a replaced version: zero if only the rotator reads the secret."""
    return facts.grace if Reader.SERVER in facts.secret.readers else timedelta()


def is_operator_supplied(secret: Secret, versions: Versions) -> bool:
    """Return whether an operator supplied the pending version, in a `put` that was interrupted."""
    pending = versions.pending
    if pending is None:
        return False
    # secretops makes versions only for declared users. The first broker admin is one, but an operator supplies it.
    create_first_admin = secret.kind is SecretKind.BROKER_ADMIN and versions.current is None
    return pending.user not in secret.users or create_first_admin


def grace_end(version: Version, facts: Facts) -> datetime | None:
    """Return when the grace period of `version` ends. None if `version` is current, or its successor is not delivered
    yet."""
    current = facts.versions.current
    if version is current or current is None or current.published is None:
        return None
    return current.published + grace_period(facts)


def awaits_first_value(facts: Facts, now: datetime) -> Finding | None:
    if facts.secret.makes_first_value or facts.versions.current:
        return None
    by = facts.supplied_by or f"secretops put {facts.secret.name}"
    return Finding(Reason.AWAITS_FIRST_VALUE, Action.NOTIFY, f"has no value yet: {by}")


def pending_left_behind(facts: Facts, now: datetime) -> Finding | None:
    """Report a pending version: an interrupted rotation left it, and must be finished; or it is a CA that the broker
    does not trust yet."""
    pending = facts.versions.pending
    if pending is None:
        return None
    what = "was left pending; the next tick resumes it"
    if facts.secret.kind is SecretKind.CA:
        what = "is a CA that the broker does not trust yet: add what `secretops trust` prints to the broker's CAs"
    return Finding(Reason.PENDING_LEFT_BEHIND, Action.RESUME, f"version {pending.id} {what}")


def retire_due(facts: Facts, now: datetime) -> Finding | None:
    """Report a previous version that nothing uses, or whose grace period is over."""
    previous = facts.versions.previous
    if previous is None or previous.retired or not facts.secret.is_made:
        return None
    if facts.secret.kind is SecretKind.CA:
        unused = f"no certificate in use is signed by version {previous.id}"
        return Finding(Reason.RETIRE_DUE, Action.RETIRE, unused) if facts.safe_to_retire else None
    end = grace_end(previous, facts)
    if end is None:
        return None
    if now >= end:
        message = f"the grace period of version {previous.id} is over: the next tick retires this version"
    elif facts.guarded and all_report_current(facts):
        message = f"no server uses the previous version {previous.id}"
    else:
        return None
    return Finding(Reason.RETIRE_DUE, Action.RETIRE, message)


def all_report_current(facts: Facts) -> bool:
    return len(facts.replicas) == facts.expected and not outdated_replicas(facts)


def outdated_replicas(facts: Facts) -> tuple[Replica, ...]:
    current = facts.versions.current
    if current is None:
        return ()
    accepted = (UNKNOWN, current.id)
    return tuple(each for each in facts.replicas if each.user != current.user or each.version not in accepted)


def replica_behind(facts: Facts, now: datetime) -> Finding | None:
    previous = facts.versions.previous
    end = grace_end(previous, facts) if previous else None
    if end is None or now < end or not (late := outdated_replicas(facts)):
        return None
    names = ", ".join(f"{replica.id} is on version {replica.version}" for replica in late)
    return Finding(Reason.REPLICA_BEHIND, Action.NOTIFY, f"{names}, past the grace period: read the log of that server")


def never_rotated(facts: Facts, now: datetime) -> Finding | None:
    if not facts.secret.makes_first_value or facts.versions.current:
        return None
    return Finding(Reason.NEVER_ROTATED, Action.ROTATE, "has no value yet: secretops tick creates one")


def renewal_at(version: Version) -> datetime | None:
    """Return when to renew a certificate: after RENEW_AT (a share of its life), or up to SPREAD (another share) sooner.
    None if it does not expire."""
    return _near_end(version, SPREAD * int.from_bytes(hashlib.sha256(version.id.encode()).digest()[:4]) / 2**32)


def due_at(facts: Facts) -> datetime | None:
    """Return when the cadence or the expiry requires a new value. None if there is no current version."""
    current = facts.versions.current
    if current is None:
        return None
    by_cadence = (current.published or current.created) + timedelta(days=facts.secret.cadence_days)
    if not facts.secret.is_issued:  # a supplied certificate has its expiry instead of the cadence
        return _near_end(current) or by_cadence
    return min(by_cadence, renewal_at(current) or by_cadence)


def _near_end(version: Version, sooner: float = 0.0) -> datetime | None:
    if version.expires is None:
        return None
    return version.created + (version.expires - version.created) * (RENEW_AT - sooner)


def due(facts: Facts, now: datetime) -> Finding | None:
    """Report that a new value is due: by the cadence, by a certificate's renewal time, or because the issuer's settings
    changed."""
    current = facts.versions.current
    if current is None:
        return None
    issuer = facts.secret.issuer
    if issuer and issuer_changed(current.id, issuer):
        return Finding(Reason.DUE, Action.ROTATE, "was issued by another issuer, or with another name or lifetime")
    is_made, at = facts.secret.is_made, due_at(facts)
    if at is None or now < at or (current.expires and not is_made):  # `near_expiry` reports it
        return None
    message = f"due since {at:%Y-%m-%d}" + ("" if is_made else f": secretops put {facts.secret.name}")
    return Finding(Reason.DUE, Action.ROTATE if is_made else Action.NOTIFY, message)


def near_expiry(facts: Facts, now: datetime) -> Finding | None:
    """Report an expired certificate, or a supplied certificate after RENEW_AT, a share of its life."""
    current = facts.versions.current
    if current is None or current.expires is None:
        return None
    put = f"secretops put {facts.secret.name}"
    if now >= current.expires:
        remedy = "check the schedule of secretops tick" if facts.secret.is_issued else put
        return Finding(Reason.EXPIRED, Action.NOTIFY, f"expired {current.expires:%Y-%m-%d %H:%M} UTC: {remedy}")
    if facts.secret.is_issued or now < (_near_end(current) or now):
        return None
    return Finding(Reason.NEAR_EXPIRY, Action.NOTIFY, f"expires {current.expires:%Y-%m-%d}: {put}")


def overdue(facts: Facts, now: datetime) -> Finding | None:
    """Report a rotation that is late by OVERDUE_AFTER or, if shorter, by half the time between a certificate's due time
    and its expiry."""
    at, current = due_at(facts), facts.versions.current
    if at is None or current is None or not facts.secret.is_made:
        return None
    # a pending CA waits for the broker, not for the schedule
    if facts.secret.kind is SecretKind.CA and facts.versions.pending:
        return None
    patience = OVERDUE_AFTER
    if facts.secret.is_issued and current.expires:  # a short-lived one may have less than a day left
        patience = min(patience, max(timedelta(), (current.expires - at) / 2))
    if now < at + patience:
        return None
    return Finding(
        Reason.OVERDUE, Action.NOTIFY, f"overdue since {at + patience:%Y-%m-%d}: check the schedule of secretops tick"
    )


# Order of action: finish, then retire, then begin.
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


def findings(facts: Facts, now: datetime) -> tuple[Finding, ...]:
    return tuple(finding for decision in DECISIONS if (finding := decision(facts, now)))


def first_action(found: tuple[Finding, ...]) -> Finding | None:
    return next((finding for finding in found if finding.action is not Action.NOTIFY), None)


def issued_id(token: str, issuer: Issuer) -> str:
    """Return an issued version's id: `token` with a mark and a digest of the issuer's settings as its last ten
    digits."""
    stem = token[: -(_MARK + _SETTINGS)]
    return f"{stem}{_digest(stem, _MARK)}{_settings(issuer)}"


def issuer_changed(version: str, issuer: Issuer) -> bool:
    """Return whether the issuer's settings differ from the digest of settings in the id `version`. False for a supplied
    version."""
    stem, mark = version[: -(_MARK + _SETTINGS)], version[-(_MARK + _SETTINGS) : -_SETTINGS]
    return mark == _digest(stem, _MARK) and not version.endswith(_settings(issuer))


def _settings(issuer: Issuer) -> str:
    return _digest(issuer.model_dump_json(exclude={"ca_seconds"}), _SETTINGS)


def _digest(text: str, digits: int) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:digits]
