"""End a compromised value under the lease: replace it, end it, and prove both.

A version that the incident knows is exposed; any other is new. So it can be interrupted anywhere and repeated. A failed
proof makes all versions known, so that the next attempt replaces them, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from secretops.engine.decisions import outdated_replicas
from secretops.engine.state import Version
from secretops.errors import NotFoundError, RefusedError, SecretopsError, UnreachableError, WaitingError
from secretops.manifest import BrokerKind, Reader, Secret, SecretKind
from secretops.operations.broker_access import BrokerAdmin, replicas
from secretops.operations.compromise import advice
from secretops.operations.compromise.advice import serial_of
from secretops.operations.compromise.incident import Incident, Out, Record, Step
from secretops.operations.put import supply
from secretops.operations.rotate import ASK_AGAIN, LONGEST_WAIT
from secretops.operations.rotators import advance, recover, rotator
from secretops.operations.session import Session, emergency
from secretops.targets import open_target
from secretops.targets.connection import Connection, logs_in
from secretops.values import Value

# Seconds that a broker has to end the sessions of a user with a new password.
DROPPED_WITHIN = 5.0

# Steps that are repeated when an incident is continued, without a further effect.
EACH_GO = frozenset({Step.FREEZE, Step.REPLACE, Step.BOTH_SLOTS})


def contain(
    session: Session,
    incident: Incident,
    *,
    given: Value | None,
    record: Record,
    sleep: Callable[[float], None] = time.sleep,
) -> Incident:
    """Do what is not done yet. `given` is an operator-supplied new value.

    Records and raises errors: LeaseHeldError, WaitingError, those of a rotation, SecretopsError if the old value is
    still accepted.
    """
    secret = session.secret(incident.secret)
    with emergency(session, secret, f"compromise {secret.name}") as set_aside:
        work = _Containment(session, secret, incident, given, record, sleep, tuple(set_aside))
        for step, act in work.steps():
            if step in EACH_GO or step not in work.incident.done:
                work.go(step, act)
    return work.incident


@dataclass(repr=False)
class _Containment:
    _session: Session
    _secret: Secret
    incident: Incident
    _given: Value | None
    _record: Record
    _sleep: Callable[[float], None]
    # A line for each broken file of the store.
    set_aside: tuple[str, ...]
    # Exposed version -> its value, if the store still has it.
    _old: dict[str, Value] = field(default_factory=dict)
    _left: list[str] = field(default_factory=list)
    # The operator's own users with a password scrambled in this attempt.
    _scrambled: set[str] = field(default_factory=set)

    def steps(self) -> Iterator[tuple[Step, Callable[[], str]]]:
        yield Step.FREEZE, self._freeze
        yield Step.REPLACE, self._replace
        if self._secret.kind.alternates:
            yield Step.BOTH_SLOTS, self._both_slots
        yield Step.PROOF, self._prove
        yield Step.READERS, self._await_readers

    def go(self, step: Step, act: Callable[[], str]) -> None:
        """Run a step, recorded before and after."""
        self._left = list(self.incident.left.get(step, ())) if step in EACH_GO else []
        self._keep(self.incident.begin(step, self._session.clock()))
        try:
            told = act()
        except SecretopsError as error:
            self._end_step(step, f"failed: {error.what}", done=False)
            raise
        self._end_step(step, told)

    def _end_step(self, step: Step, told: str, *, done: bool = True) -> None:
        left = tuple(dict.fromkeys(self._left))
        self._keep(self.incident.end(step, self._session.clock(), told, left=left, done=done))

    def _keep(self, incident: Incident) -> None:
        self.incident = incident
        self._record(incident)

    def _freeze(self) -> str:
        """Read what is about to end, before the store forgets it."""
        secret, store = self._secret, self._session.store
        recover(self._session, secret, replaced=True)
        self._left += [f"look at it, then remove it: {line}" for line in self.set_aside]
        if self.incident.servers is None and Step.REPLACE not in self.incident.done:
            reported = replicas(self._session, secret)
            self.incident = self.incident.model_copy(update={"servers": None if reported is None else len(reported)})
        if advice.can_be_tried(secret):
            kept = (one.id for one in store.versions(secret.name).living if self._is_known(one))
            for version in dict.fromkeys(
                (*(one.id for one in self.incident.out if one.id in self.incident.known), *kept)
            ):
                with suppress(NotFoundError):
                    self._old[version] = store.read(secret.name, version, purpose="try whether it is refused")
            out = tuple(self._with_serial(one) for one in self.incident.out)
            self.incident = self.incident.model_copy(update={"out": out})
        return "; ".join(("the lease is held: every other rotation answers that it is busy", *self.set_aside))

    def _with_serial(self, one: Out) -> Out:
        certificate = self._old[one.id].get("client.crt") if one.id in self._old else None
        return one.model_copy(update={"serial": serial_of(certificate)}) if certificate else one

    def _replace(self) -> str:
        """Advance until the current version is new, and the former one has ended."""
        self._left += advice.elsewhere(self._secret, self.incident)
        store, name, told = self._session.store, self._secret.name, list[str]()
        pending = store.versions(name).pending
        if pending and self._is_known(pending) and not self._is_accepted_already:
            store.discard(name, pending.id)
        while True:
            versions = store.versions(name)
            previous, current = versions.previous, versions.current
            if previous and not previous.retired and self._is_known(previous):
                told.append(self._end(previous))
            if current and not self._is_known(current):
                break
            self._advance()
        if Step.REPLACE not in self.incident.done:  # later the operator may have given it another
            told += [self._end_user(one.user, one.id) for one in self.incident.out if one.user and self._is_theirs(one)]
        self._left += advice.made_with(self._session, self._secret)
        return "; ".join((f"{current.id} is the current version", *told))

    @property
    def _is_accepted_already(self) -> bool:
        """Whether a pending value is accepted already: then it is published, and ended as any other."""
        return self._secret.kind is SecretKind.AGENT_KEY and self._secret.is_made

    def _is_known(self, version: Version) -> bool:
        return version.id in self.incident.known

    def _is_theirs(self, one: Out) -> bool:
        """Return whether it belongs to an operator's own user that is not scrambled yet."""
        current = self._session.store.versions(self._secret.name).current
        in_use = current is not None and current.user == one.user
        alternates = self._secret.kind.alternates
        return alternates and not in_use and one.user not in {*self._secret.users, *self._scrambled}

    def _advance(self) -> None:
        secret, versions = self._secret, self._session.store.versions(self._secret.name)
        self.incident = self.incident.undone(Step.PROOF, Step.READERS)
        if secret.is_made or versions.pending:
            advance(self._session, secret, force=True)
        elif self._given:
            supply(self._session, secret, self._given, force=True)
        else:
            raise WaitingError(
                f"{secret.name}: no new value",
                rule="secretops does not make values of this secret: its operator has them made, and supplies them",
                remedy="the same command again, with the new value as for secretops put",
            )

    def _end(self, version: Version) -> str:
        if not self._secret.kind.alternates or version.user is None:
            rotator(self._session, self._secret).retire(version)
            return f"{version.id}: {advice.end_of(self._secret)}"
        told = self._end_user(version.user, version.id)
        rotator(self._session, self._secret).retire(version)
        return told

    def _end_user(self, user: str, version: str) -> str:
        """Scramble `user`, and check that the broker ends a session of this version."""
        current, live = self._session.store.versions(self._secret.name).current, None
        if current and current.user == user:
            return f"user {user} has a new password"
        with ExitStack() as opened:
            if value := self._old.get(version):
                with suppress(RefusedError, UnreachableError):
                    live = opened.enter_context(Connection(self._session.broker, value))
            self._scramble(user)
            ended = live is not None and _is_over(live)
        told = f"user {user} has a password that nobody knows"
        if ended:
            return f"{told}, and its sessions were ended"
        broker = self._session.manifest.broker
        if live is None and (broker.kind is BrokerKind.MOSQUITTO or broker.embedded):
            return f"{told}, with which the broker ends its sessions"
        where = f"{broker.host}:{broker.port}"
        seen = f"{where} did not end the sessions" if live else f"whether {where} ended the sessions"
        unseen = "" if live else " was not seen, for none could be opened"
        self._left.append(f"{seen} that {user} had{unseen}: end them there, or restart it")
        return told

    def _scramble(self, user: str) -> None:
        admin = BrokerAdmin(self._session).credential()
        self._session.store.confirm()
        open_target(self._session.broker, self._secret.kind).retire(admin, user)
        self._scrambled.add(user)

    def _both_slots(self) -> str:
        """Make new values of both users: a login then proves that no former one is valid."""
        previous = self._session.store.versions(self._secret.name).previous
        if previous is None or previous.retired or self._is_known(previous):
            self._advance()
        current = self._session.store.versions(self._secret.name).current
        return f"{current.id if current else 'nothing'} is the current version: both users have new passwords"

    def _await_readers(self) -> str:
        session, secret, before = self._session, self._secret, self.incident.servers
        if Reader.SERVER not in secret.readers:
            return "only the rotator reads it, and does so anew each time"
        if secret.kind is not SecretKind.MQTT_USER:
            self._left.append("see that each server works: what it reports says nothing of this secret")
            return "servers take the new version by themselves, and none reports it"
        if before is None:
            self._left.append("see that each server works: which version they use could not be asked")
            return "nobody could be asked which version servers used, so none is waited for"
        if not before:
            return "no server reported which version it uses, so none is waited for"
        limit = max(session.manifest.grace_seconds, LONGEST_WAIT)
        until = session.clock() + timedelta(seconds=limit)
        while True:
            facts = session.facts(secret, replicas(session, secret) or ())
            on = len(facts.replicas) - len(outdated_replicas(facts))
            if on >= before and not outdated_replicas(facts):
                return f"{on} of {before} servers report the new version"
            if session.clock() >= until:
                break
            self._sleep(ASK_AGAIN)
        self._left.append(
            f"{on} of {before} servers report the new version after {limit:.0f} s: see the others' logs, restart them"
        )
        return f"{on} of {before} servers report the new version, the others are not waited for"

    def _prove(self) -> str:
        """Try each exposed value."""
        if not advice.can_be_tried(self._secret):
            return advice.UNTRIED
        return "; ".join([self._try(one) for one in self.incident.out]) or "no version was good any more"

    def _try(self, one: Out) -> str:
        value = self._old.get(one.id)
        if self._secret.kind.alternates:
            if value:
                return self._logged_in(one, value, is_good=False)
            versions = self._session.store.versions(self._secret.name).living
            new = next((each for each in versions if each.user == one.user and not self._is_known(each)), None)
            if new:
                value = self._session.store.read(self._secret.name, new.id, purpose="try whether it is accepted")
                return self._logged_in(one, value, is_good=True)
        elif value:
            told, is_known = advice.tried(self._session, self._secret, one.id, value, sleep=self._sleep)
            if not is_known:
                self._left.append(f"whether {one.id} is refused is not known: {told}")
            return f"{one.id}: {told}"
        tries = [each for each in self.incident.moments if each.step is Step.PROOF and each.ended]
        last = "".join(f"; at {each.ended:%H:%M:%S} UTC {each.told}" for each in tries[-1:])
        self._left.append(f"whether {one.id} is refused is not known: the store has forgotten its value{last}")
        return f"{one.id}: not tried, since the store has forgotten its value"

    def _logged_in(self, one: Out, value: Value, *, is_good: bool) -> str:
        """Log in by the exposed value, or (`is_good`) by the new value of the same user."""
        if logs_in(self._session.broker, value) is not is_good:
            kept = self._session.store.versions(self._secret.name).all
            self.incident = self.incident.again(*(version.id for version in kept))
            raise SecretopsError(
                f"{one.id}: user {one.user} {'does not log in by the one made since' if is_good else 'still logs in'}",
                rule="a compromised credential is refused before its incident ends",
                remedy="find out who may change users at the broker; "
                "the same command again goes on, with new passwords for all",
            )
        if is_good:
            return (
                f"{one.id}: the store has forgotten its value; its user {one.user} logs in by a new one, so not by it"
            )
        return f"{one.id}: the broker refuses it"


def _is_over(connection: Connection) -> bool:
    try:
        connection.receive(lambda _: None, within=DROPPED_WITHIN)
    except (RefusedError, UnreachableError):
        return True
    return False
