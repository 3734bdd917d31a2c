"""What a schedule calls every hour: finish what was left, let go of what is over, begin what is due, check the rest."""

from __future__ import annotations

import logging
from collections.abc import Container
from dataclasses import dataclass

from secretops.engine.decisions import Action, Finding, Reason, decide, findings
from secretops.engine.journal import Entry
from secretops.engine.rotation import GraceError
from secretops.engine.state import Replica, Version
from secretops.errors import AttentionError, ExitCode, RefusedError, SecretopsError
from secretops.manifest import OwnedAgent, Secret, SecretKind
from secretops.operations import external_certificates
from secretops.operations.session import Session
from secretops.platform import PUBLIC_LINES
from secretops.targets import open_target

_log = logging.getLogger(__name__)

MOST_ACTIONS = 4
"""A secret meets at most resume, retire, rotate and retire in one tick; what is left after that waits for the next."""


@dataclass(frozen=True)
class Outcome:
    """What a tick did about one secret."""

    secret: str
    done: tuple[str, ...] = ()
    error: SecretopsError | None = None
    attention: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()
    """What only a person can begin, and need not today: a first value."""
    reasons: tuple[Reason, ...] = ()
    """Why it needs attention, one for each of it."""

    @property
    def exit_code(self) -> ExitCode:
        if self.error:
            return self.error.exit_code
        return ExitCode.ATTENTION if self.attention else ExitCode.DONE


def tick(session: Session, *, scheduled: Container[str] = ()) -> list[Outcome]:
    """One round over all secrets: a CA before what it signs, what is shown to the broker before a login, then admins,
    since they set the others' passwords.

    What is due of those in `scheduled` somebody else begins, Secrets Manager's own schedule: only what that has missed,
    so that it is overdue, is begun here. What needed a person is told, also where the tick has ended it: no schedule
    ran for a day, or a server was cut off. One secret's failure does not stop the next one's. Raises LeaseHeldError
    when another rotation is under way.
    """
    with session.lease("tick"):
        ordered = sorted(session.manifest.secrets, key=_turn)
        outcomes = [_look_after(session, secret, begins=secret.name not in scheduled) for secret in ordered]
    return [*outcomes, *_watched(session), *_public_lines(session)]


def _turn(secret: Secret) -> int:
    if secret.kind is SecretKind.CA:
        return 0
    return 1 if secret.issuer else 2 if secret.kind is SecretKind.BROKER_ADMIN else 3


def _watched(session: Session) -> list[Outcome]:
    """One for all certificates that others renew, where one of them needs a person."""
    try:
        found = external_certificates.findings(session)
    except Exception as error:  # of what others made; what was done for the secrets is told all the same
        _log.exception("%s: unexpected", external_certificates.NAME)
        return [Outcome(external_certificates.NAME, error=_unexpected(external_certificates.NAME, error))]
    told, reasons = tuple(one.message for one in found), tuple(one.reason for one in found)
    return [Outcome(external_certificates.NAME, attention=told, reasons=reasons)] if found else []


def _public_lines(session: Session) -> list[Outcome]:
    found = session.platform.public_drift(session.manifest.store)
    return [Outcome(PUBLIC_LINES, attention=tuple(found))] if found else []


def exit_code(outcomes: list[Outcome]) -> ExitCode:
    """The one code for a whole tick: a failure outranks waiting, waiting outranks attention."""
    codes = {outcome.exit_code for outcome in outcomes}
    ranked = (ExitCode.FAILED, ExitCode.USAGE, ExitCode.BUSY, ExitCode.WAITING, ExitCode.ATTENTION)
    return next((code for code in ranked if code in codes), ExitCode.DONE)


def _look_after(session: Session, secret: Secret, *, begins: bool) -> Outcome:
    done: list[str] = []
    reported: tuple[Replica, ...] = ()
    late: list[Finding] = []
    try:
        session.settle(secret)
        done += session.platform.unblock(session, secret)
        for _ in range(MOST_ACTIONS):
            facts = session.facts_for_retiring(secret)
            reported = facts.replicas or reported  # a retired user's servers report no more, and are told about
            finding = decide(facts, session.clock())
            if finding is None:
                break
            found = findings(facts, session.clock())
            if finding.reason is Reason.DUE and not begins and all(one.reason is not Reason.OVERDUE for one in found):
                break
            late += [one for one in found if one.needs_a_person]  # it may be so no more once that is acted on
            done.append(_act(session, secret, finding.action))
        if not any(text.startswith("published") for text in done):
            done += _verify_current(session, secret)
        left = findings(session.facts(secret, reported), session.clock())
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
        waiting=tuple(one.message for one in left if one.action is Action.TELL and not one.needs_a_person),
    )


def _unexpected(name: str, error: Exception) -> SecretopsError:
    return SecretopsError(
        f"{name}: an unexpected {type(error).__name__}",
        rule="secretops tells what is wrong; that it could not is a defect of its own",
        remedy="report it with the traceback in the log; the next tick tries again",
    )


def _act(session: Session, secret: Secret, action: Action) -> str:
    if action is not Action.RETIRE:
        return f"published {session.advance(secret).id}"
    mover = session.mover(secret)
    mover.retire(previous := _previous(session, secret))
    kept = secret.kind.alternates and previous.user not in secret.users
    return f"retired {previous.id}" + (f" ({previous.user} is yours: kept)" if kept else "")


def _previous(session: Session, secret: Secret) -> Version:
    previous = session.facts(secret).versions.previous
    if previous is None:
        raise SecretopsError(f"{secret.name}: nothing to retire")
    return previous


def _verify_current(session: Session, secret: Secret) -> list[str]:
    """Log in as the current version: a password changed behind our back is found within the hour.

    For a key of an agent of ours it is looked whether it is there still: an answer to it would be paid for each time.
    Where it is not, readers hold one that opens nothing, and get the next at once.
    """
    current = session.facts(secret).versions.current
    if current is None:
        return []
    if isinstance(secret.agent, OwnedAgent):
        mover = session.agent_key(secret, secret.agent)
        if lost := mover.tidy():
            try:
                version = session.advance(secret, mover)
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
        mends = "put" if secret.kind is SecretKind.BROKER_ADMIN else "rotate"  # what is refused rotates nobody
        outcome = f"the broker refuses user {current.user}"
        session.journal.write(
            Entry(time=session.clock(), secret=secret.name, version=current.id, step="verify", outcome=outcome)
        )
        raise RefusedError(
            f"{secret.name}: the broker refuses the current credential (user {current.user})",
            rule=error.what,
            remedy=f"secretops {mends} {secret.name}, and find out who changed it at the broker",
        ) from error
    session.store.mark(secret.name, current.id, verified=session.clock())
    return [f"verified {current.id}"]
