"""The hourly tick: finish interrupted rotations, retire old versions, rotate secrets that are due, and verify the
others."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from secretops.engine.decisions import Action, Finding, Reason, findings, first_action
from secretops.engine.journal import Entry
from secretops.engine.rotator import GraceError
from secretops.engine.state import Replica, Versions
from secretops.errors import AttentionError, ExitCode, RefusedError, SecretopsError, unexpected
from secretops.manifest import OwnedAgent, Secret, SecretKind
from secretops.operations import external_certificates
from secretops.operations.broker_access import facts_for_retiring
from secretops.operations.rotators import advance, agent_key, kept_user, recover, rotator
from secretops.operations.session import Session
from secretops.platform import PUBLIC_LINES
from secretops.targets import open_target

# The most actions on one secret in a tick: resume, retire, rotate and retire.
MOST_ACTIONS = 4


@dataclass(frozen=True)
class Outcome:
    secret: str
    done: tuple[str, ...] = ()
    error: SecretopsError | None = None
    attention: tuple[str, ...] = ()
    # Messages about a missing first value, which only an operator can supply.
    waiting: tuple[str, ...] = ()
    # Reason for each line of `attention`.
    reasons: tuple[Reason, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        if self.error:
            return self.error.exit_code
        return ExitCode.ATTENTION if self.attention else ExitCode.DONE


def tick(session: Session, *, scheduled: Container[str] = ()) -> list[Outcome]:
    """Process all secrets: first CAs, then client certificates, then admins, and then the users whose passwords admins
    set.

    Secrets in `scheduled` have another schedule (Secrets Manager's), and are rotated only if overdue. A failure does
    not stop other secrets. Raises LeaseHeldError.
    """
    with session.lease("tick"):
        ordered = sorted(session.manifest.secrets, key=_order)
        outcomes = [_outcome(session, secret, begins=secret.name not in scheduled) for secret in ordered]
    drift = session.platform.public_drift(session.manifest.store)
    public = [Outcome(PUBLIC_LINES, attention=tuple(drift))] if drift else []
    return [*outcomes, *_external_certificates(session), *public]


def _order(secret: Secret) -> int:
    if secret.kind is SecretKind.CA:
        return 0
    return 1 if secret.issuer else 2 if secret.kind is SecretKind.BROKER_ADMIN else 3


def _external_certificates(session: Session) -> list[Outcome]:
    name = external_certificates.NAME
    try:
        found = external_certificates.findings(session)
    except Exception as error:  # these certificates belong to others; report the secrets' outcomes anyway
        return [Outcome(name, error=unexpected(name, error))]
    return [_attention(name, found)] if found else []


def _attention(name: str, found: Iterable[Finding], done: Sequence[str] = (), waiting: Sequence[str] = ()) -> Outcome:
    messages, reasons = tuple(one.message for one in found), tuple(one.reason for one in found)
    return Outcome(name, tuple(done), None, messages, tuple(waiting), reasons)


def exit_code(outcomes: list[Outcome]) -> ExitCode:
    """Return the exit code of a tick: a failure outranks waiting, waiting outranks attention."""
    codes = {outcome.exit_code for outcome in outcomes}
    ranked = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.BUSY, ExitCode.WAITING, ExitCode.ATTENTION)
    return next((code for code in ranked if code in codes), ExitCode.DONE)


def _outcome(session: Session, secret: Secret, *, begins: bool) -> Outcome:
    done: list[str] = []
    reported: tuple[Replica, ...] = ()
    late: list[Finding] = []
    try:
        is_incomplete = recover(session, secret)
        done += session.platform.unblock(session, secret)
        versions = session.store.versions(secret.name)
        for _ in range(MOST_ACTIONS):
            facts = facts_for_retiring(session, secret, versions)
            reported = facts.replicas or reported  # after a user is retired, its servers no longer report
            found = findings(facts, session.clock())
            finding = first_action(found)
            if finding is None:
                break
            if finding.reason is Reason.DUE and not begins and all(one.reason is not Reason.OVERDUE for one in found):
                break
            late += [one for one in found if one.needs_a_person]  # the action may resolve it
            text, versions = _act(session, secret, finding.action, versions)
            done.append(text)
        if is_incomplete and not any(text.startswith("published") for text in done):
            text, versions = _act(session, secret, Action.ROTATE, versions)
            done.append(text)
        if not any(text.startswith("published") for text in done):
            done += _verify_current(session, secret, versions)
        left = findings(session.facts(secret, reported, versions=versions), session.clock())
    except SecretopsError as error:
        return Outcome(secret.name, tuple(done), error)
    except Exception as error:  # a defect for this secret alone; its text may contain anything
        return Outcome(secret.name, tuple(done), unexpected(secret.name, error))
    late = list(dict.fromkeys([*late, *(one for one in left if one.needs_a_person)]))
    waiting = [one.message for one in left if one.action is Action.NOTIFY and not one.needs_a_person]
    return _attention(secret.name, late, done, waiting)


def _act(session: Session, secret: Secret, action: Action, versions: Versions) -> tuple[str, Versions]:
    made = rotator(session, secret, versions)
    if action is not Action.RETIRE:
        return f"published {advance(session, secret, made).id}", made.versions
    previous = versions.previous
    if previous is None:
        raise SecretopsError(f"{secret.name}: no previous version to retire", code="retire-nothing")
    made.retire(previous)
    kept = kept_user(secret, previous)
    return f"retired {previous.id}" + (f" ({kept})" if kept else ""), made.versions


def _verify_current(session: Session, secret: Secret, versions: Versions) -> list[str]:
    """Log in with the current version, which detects out-of-band password changes within an hour.

    For an owned agent, only list the keys, because each answer of the agent costs money.
    """
    current = versions.current
    if current is None:
        return []
    if isinstance(secret.agent, OwnedAgent):
        made = agent_key(session, secret, secret.agent, versions)
        if lost := made.tidy():
            try:
                version = advance(session, secret, made)
            except GraceError as error:
                reason = error.what
                what = f"{secret.name}: {lost}; {reason}"
                remedy = (
                    f"servers with this key cannot call the agent until a tick makes a new key, after "
                    f"{error.until:%Y-%m-%d %H:%M:%S} UTC; to make one now, which may disconnect readers: secretops "
                    f"rotate {secret.name} --now"
                )
                raise RefusedError(what, rule=error.rule, remedy=remedy, code="agent-key-missing") from error
            what = f"{secret.name}: {lost}; secretops published a new key, version {version.id}"
            rule = "the agent must accept the current key"
            remedy = (
                "if the stack's agent did not change, and nobody restored a backup: find in the agent's audit log who "
                "deleted the key"
            )
            raise AttentionError(what, rule=rule, remedy=remedy, code="agent-key-replaced")
        return []
    if not secret.kind.alternates:
        return []
    value = session.store.read(secret.name, current.id, purpose="verify")
    try:
        open_target(session.broker, secret.kind).verify(value)
    except RefusedError as error:
        session.store.confirm()  # the next holder of the lease may have retired this version meanwhile
        command = "put" if secret.kind is SecretKind.BROKER_ADMIN else "rotate"  # a refused admin cannot rotate
        entry = partial(Entry, time=session.clock(), secret=secret.name, version=current.id, step="verify")
        session.journal.write(entry(outcome=f"the broker refuses user {current.user}"))
        what = f"{secret.name}: the broker refuses the current credential (user {current.user}): {error.what}"
        rule = "a login with the current version must succeed; somebody changed this user or its rights at the broker"
        remedy = f"secretops {command} {secret.name}; then find out who changed the user"
        raise RefusedError(what, rule=rule, remedy=remedy, code="credential-refused") from error
    session.store.mark(secret.name, current.id, verified=session.clock())
    return [f"verified {current.id}"]
