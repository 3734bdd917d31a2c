"""What a schedule calls every hour: finish, retire and begin what is due, and check the rest."""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass
from functools import partial

from secretops.engine.decisions import Action, Finding, Reason, findings, first_action
from secretops.engine.journal import Entry
from secretops.engine.rotator import GraceError
from secretops.engine.state import Replica, Versions
from secretops.errors import AttentionError, ExitCode, RefusedError, SecretopsError
from secretops.manifest import OwnedAgent, Secret, SecretKind
from secretops.operations import external_certificates
from secretops.operations.broker_access import facts_for_retiring
from secretops.operations.rotators import advance, agent_key, recover, rotator
from secretops.operations.session import Session
from secretops.platform import PUBLIC_LINES
from secretops.targets import open_target

_log = logging.getLogger(__name__)

# Actions on one secret in one tick: at most resume, retire, rotate and retire. What is left waits for the next tick.
MOST_ACTIONS = 4


@dataclass(frozen=True)
class Outcome:
    """The result of a tick for one secret."""

    secret: str
    done: tuple[str, ...] = ()
    error: SecretopsError | None = None
    attention: tuple[str, ...] = ()
    # What only a person can begin, and need not today: a first value.
    waiting: tuple[str, ...] = ()
    # The reason of each line of `attention`.
    reasons: tuple[Reason, ...] = ()

    @property
    def exit_code(self) -> ExitCode:
        if self.error:
            return self.error.exit_code
        return ExitCode.ATTENTION if self.attention else ExitCode.DONE


def tick(session: Session, *, scheduled: Container[str] = ()) -> list[Outcome]:
    """Process all secrets: first CAs, then client certificates, then admins, which set the others' passwords.

    Those in `scheduled` have another schedule (Secrets Manager's): here they are rotated only if overdue. An outcome
    has what needed a person before the tick, too. A failure does not stop the next secret. Raises LeaseHeldError.
    """
    with session.lease("tick"):
        ordered = sorted(session.manifest.secrets, key=_turn)
        outcomes = [_outcome(session, secret, begins=secret.name not in scheduled) for secret in ordered]
    drift = session.platform.public_drift(session.manifest.store)
    public = [Outcome(PUBLIC_LINES, attention=tuple(drift))] if drift else []
    return [*outcomes, *_external_certificates(session), *public]


def _turn(secret: Secret) -> int:
    if secret.kind is SecretKind.CA:
        return 0
    return 1 if secret.issuer else 2 if secret.kind is SecretKind.BROKER_ADMIN else 3


def _external_certificates(session: Session) -> list[Outcome]:
    """Return one outcome for all external certificates, if one needs a person."""
    try:
        found = external_certificates.findings(session)
    except Exception as error:  # others made them; the outcomes of the secrets are reported all the same
        _log.exception("%s: unexpected", external_certificates.NAME)
        return [Outcome(external_certificates.NAME, error=_unexpected(external_certificates.NAME, error))]
    messages, reasons = tuple(one.message for one in found), tuple(one.reason for one in found)
    return [Outcome(external_certificates.NAME, attention=messages, reasons=reasons)] if found else []


def exit_code(outcomes: list[Outcome]) -> ExitCode:
    """Return the code of a whole tick: a failure outranks waiting, waiting outranks attention."""
    codes = {outcome.exit_code for outcome in outcomes}
    ranked = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.BUSY, ExitCode.WAITING, ExitCode.ATTENTION)
    return next((code for code in ranked if code in codes), ExitCode.DONE)


def _outcome(session: Session, secret: Secret, *, begins: bool) -> Outcome:
    done: list[str] = []
    reported: tuple[Replica, ...] = ()
    late: list[Finding] = []
    try:
        recover(session, secret)
        done += session.platform.unblock(session, secret)
        versions = session.store.versions(secret.name)
        for _ in range(MOST_ACTIONS):
            facts = facts_for_retiring(session, secret, versions)
            reported = facts.replicas or reported  # a retired user's servers report no more
            found = findings(facts, session.clock())
            finding = first_action(found)
            if finding is None:
                break
            if finding.reason is Reason.DUE and not begins and all(one.reason is not Reason.OVERDUE for one in found):
                break
            late += [one for one in found if one.needs_a_person]  # the action may end it
            text, versions = _act(session, secret, finding.action, versions)
            done.append(text)
        if not any(text.startswith("published") for text in done):
            done += _verify_current(session, secret, versions)
        left = findings(session.facts(secret, reported, versions=versions), session.clock())
    except SecretopsError as error:
        return Outcome(secret.name, tuple(done), error)
    except Exception as error:  # of this secret alone; its text may hold anything, the log is redacted
        _log.exception("%s: unexpected", secret.name)
        return Outcome(secret.name, tuple(done), _unexpected(secret.name, error))
    late = list(dict.fromkeys([*late, *(one for one in left if one.needs_a_person)]))
    return Outcome(
        secret.name,
        tuple(done),
        attention=tuple(one.message for one in late),
        reasons=tuple(one.reason for one in late),
        waiting=tuple(one.message for one in left if one.action is Action.NOTIFY and not one.needs_a_person),
    )


def _unexpected(name: str, error: Exception) -> SecretopsError:
    return SecretopsError(
        f"{name}: an unexpected {type(error).__name__}",
        rule="secretops tells what is wrong; that it could not is a defect of its own",
        remedy="report it with the traceback in the log; the next tick tries again",
    )


def _act(session: Session, secret: Secret, action: Action, versions: Versions) -> tuple[str, Versions]:
    """Act on a finding. Return what was done, and the versions after it."""
    made = rotator(session, secret, versions)
    if action is not Action.RETIRE:
        return f"published {advance(session, secret, made).id}", made.versions
    previous = versions.previous
    if previous is None:
        raise SecretopsError(f"{secret.name}: nothing to retire")
    made.retire(previous)
    kept = secret.kind.alternates and previous.user not in secret.users
    return f"retired {previous.id}" + (f" ({previous.user} is yours: kept)" if kept else ""), made.versions


def _verify_current(session: Session, secret: Secret, versions: Versions) -> list[str]:
    """Log in as the current version: detects out-of-band password changes within an hour.

    A key of an owned agent is only listed, since each answer costs money. If it is gone, readers get the next at once.
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
                raise RefusedError(
                    f"{secret.name}: {lost}; {error.what}", rule=error.rule, remedy=error.remedy
                ) from error
            raise AttentionError(
                f"{secret.name}: {lost}; published {version.id}",
                rule="readers are given a key that the agent takes; secretops deletes its own once they are replaced",
                remedy="who deleted it, if nobody changed the stack's agent or brought back a backup? The agent's own "
                "records tell",
            )
        return []
    if not secret.kind.alternates:
        return []
    value = session.store.read(secret.name, current.id, purpose="verify")
    try:
        open_target(session.broker, secret.kind).verify(value)
    except RefusedError as error:
        session.store.confirm()  # whoever took the lease over may have retired this version
        mends = "put" if secret.kind is SecretKind.BROKER_ADMIN else "rotate"  # a refused admin rotates nobody
        entry = partial(Entry, time=session.clock(), secret=secret.name, version=current.id, step="verify")
        session.journal.write(entry(outcome=f"the broker refuses user {current.user}"))
        raise RefusedError(
            f"{secret.name}: the broker refuses the current credential (user {current.user})",
            rule=error.what,
            remedy=f"secretops {mends} {secret.name}, and find out who changed it at the broker",
        ) from error
    session.store.mark(secret.name, current.id, verified=session.clock())
    return [f"verified {current.id}"]
