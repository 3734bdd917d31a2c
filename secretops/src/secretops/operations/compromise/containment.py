"""Replace a compromised value under the lease, invalidate it, and prove that it is refused.

Versions in `Incident.known` are exposed; all others are new, so a repeated attempt does not replace them again. If a
proof fails, all versions are added to `known`, and the next attempt replaces them, too.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from secretops.engine.decisions import outdated_replicas
from secretops.engine.state import Replica, Version, Versions
from secretops.errors import (
    BusyError,
    NotFoundError,
    RefusedError,
    SecretopsError,
    UnreachableError,
    UsageError,
    WaitingError,
)
from secretops.formats import counted
from secretops.manifest import BrokerKind, Reader, Secret, SecretKind
from secretops.operations.broker_access import BrokerAdmin, replicas, replicas_read_as
from secretops.operations.compromise import advice
from secretops.operations.compromise.advice import MUST_BE_REFUSED
from secretops.operations.compromise.incident import ExposedVersion, Incident, Record, Step
from secretops.operations.put import supply
from secretops.operations.rotate import MAX_WAIT_SECONDS, POLL_SECONDS
from secretops.operations.rotators import advance, recover, rotator
from secretops.operations.session import Session, exclusive
from secretops.stores.store_errors import InvalidValueError
from secretops.targets import open_target
from secretops.targets.connection import Connection, logs_in
from secretops.values import PUBLIC_FIELDS, Value

# Seconds in which a broker must end the sessions of a user with a new password.
DROPPED_WITHIN = 5.0

# Steps that run again when an incident is continued. They have no further effect.
REPEATED = frozenset({Step.FREEZE, Step.REPLACE, Step.BOTH_SLOTS})


def contain(
    session: Session,
    incident: Incident,
    *,
    supplied: Value | None,
    record: Record,
    sleep: Callable[[float], None] = time.sleep,
) -> Incident:
    """Do the remaining steps of `incident`, and return it with their results. `supplied`: an operator-supplied new
    value.

    Raises LeaseHeldError, WaitingError, the errors of a rotation, SecretopsError if the old value is still accepted.
    """
    secret = session.secret(incident.secret)
    set_aside = list[str]()
    with ExitStack() as lease:
        lease.enter_context(exclusive(session, secret, f"compromise {secret.name}", set_aside.append, force=True))
        work = _Containment(session, secret, incident, supplied, record, sleep, set_aside)
        for step, act in work.steps():
            if step is Step.READERS:  # it only reads, and may take an hour
                lease.close()
            if step in REPEATED or step not in work.incident.done:
                work.run(step, act)
    return work.incident


@dataclass(repr=False)
class _Containment:
    _session: Session
    _secret: Secret
    incident: Incident
    _supplied: Value | None
    _record: Record
    _sleep: Callable[[float], None]
    # A line for each broken file of the store that was set aside.
    _set_aside: list[str]
    # Exposed version -> its value, if the store still has a valid one.
    _old: dict[str, Value] = field(default_factory=dict)
    # Steps for a person.
    _manual: list[str] = field(default_factory=list)
    # The operator's own users whose password this attempt scrambled.
    _scrambled: set[str] = field(default_factory=set)

    @property
    def _versions(self) -> Versions:
        return self._session.store.versions(self._secret.name)

    def steps(self) -> Iterator[tuple[Step, Callable[[], str]]]:
        yield Step.FREEZE, self._freeze
        yield Step.REPLACE, self._replace
        if self._secret.kind.alternates:
            yield Step.BOTH_SLOTS, self._both_slots
        yield Step.PROOF, self._prove
        yield Step.READERS, self._await_readers

    def run(self, step: Step, act: Callable[[], str]) -> None:
        self._manual = list(self.incident.manual.get(step, ())) if step in REPEATED else []
        self._change(self.incident.begin(step, self._session.clock()))
        try:
            self._end_step(step, act())
        except SecretopsError as error:
            self._end_step(step, f"failed: {error.what}", done=False)
            raise

    def _end_step(self, step: Step, result: str, *, done: bool = True) -> None:
        manual = tuple(dict.fromkeys(self._manual))
        self._change(self.incident.end(step, self._session.clock(), result, manual=manual, done=done))

    def _change(self, incident: Incident) -> None:
        self.incident = incident
        self._record(incident)

    def _freeze(self) -> str:
        secret, store, incident = self._secret, self._session.store, self.incident
        recover(self._session, secret, replaced=True, force=True)
        self._manual += [f"check the following file, then remove the file: {line}" for line in self._set_aside]
        if incident.servers is None and not incident.made and all(map(self._is_known, self._versions.living)):
            reported = replicas(self._session, secret)
            incident = incident.model_copy(update={"servers": None if reported is None else len(reported)})
        if advice.is_testable(secret) or not secret.is_made:
            exposed = (one.id for one in incident.exposed if one.id in incident.known)
            stored = (one.id for one in self._versions.living if self._is_known(one))
            for version in dict.fromkeys((*exposed, *stored)):
                with suppress(NotFoundError, InvalidValueError):
                    self._old[version] = store.read(secret.name, version, purpose="check that it is replaced")
            with_serials = tuple(self._with_serial(one) for one in incident.exposed)
            incident = incident.model_copy(update={"exposed": with_serials})
            current = self._versions.current
            if current and not secret.is_made and not self._is_known(current):
                value = store.read(secret.name, current.id, purpose="check that it is new")
                if self._is_exposed(value):  # an operator has put the compromised value again
                    incident = incident.with_known(current.id)
        self.incident = incident
        return "; ".join(("the lease is held: other rotations exit with 4", *self._set_aside))

    def _with_serial(self, one: ExposedVersion) -> ExposedVersion:
        value = self._old.get(one.id)
        if value and (certificate := value.get("client.crt")):
            from cryptography import x509  # AWS functions do not have this package

            with suppress(ValueError):
                serial = x509.load_pem_x509_certificates(certificate.encode())[0].serial_number
                return one.model_copy(update={"serial": f"{serial:x}"})
        return one

    def _is_exposed(self, new: Value) -> bool:
        fields = {*self._secret.fields} - PUBLIC_FIELDS
        return any(all(old.get(each, "").strip() == new[each].strip() for each in fields) for old in self._old.values())

    def _refuse_exposed(self) -> None:
        if self._supplied and self._is_exposed(self._supplied):
            what, rule = f"{self._secret.name}: the supplied value is compromised", "the new value must be another one"
            remedy = "create a new value where the old one was issued; then run the command again, and supply that"
            raise UsageError(what, rule=rule, remedy=remedy, code="value-not-new")

    def _replace(self) -> str:
        self._refuse_exposed()
        self._manual += advice.manual_steps(self._secret, self.incident)
        self._manual += advice.newer_versions(self._secret, self.incident, self._versions)
        results, pending = list[str](), self._versions.pending
        # A pending key of an owned agent is accepted already: it is published and retired, not discarded.
        is_accepted = self._secret.kind is SecretKind.AGENT_KEY and self._secret.is_made
        if pending and self._is_known(pending) and not is_accepted:
            self._session.store.discard(self._secret.name, pending.id)
        while True:
            versions = self._versions
            previous, current = versions.previous, versions.current
            if previous and not previous.retired and self._is_known(previous):
                results.append(self._end(previous))
            if current and not self._is_known(current):
                break
            self._advance()
        if Step.REPLACE not in self.incident.done:  # after that step the operator may have set another password
            exposed = self.incident.exposed
            results += [self._end_user(one.user, one.id) for one in exposed if one.user and self._is_theirs(one)]
        self._manual += advice.created_keys(self._session, self._secret)
        return "; ".join((f"{current.id} is the current version", *results))

    def _is_known(self, version: Version) -> bool:
        return version.id in self.incident.known

    def _is_theirs(self, one: ExposedVersion) -> bool:
        current = self._versions.current
        in_use = current is not None and current.user == one.user
        alternates = self._secret.kind.alternates
        return alternates and not in_use and one.user not in {*self._secret.users, *self._scrambled}

    def _advance(self) -> None:
        before = {version.id for version in self._versions.all}
        self.incident = self.incident.undone(Step.PROOF, Step.READERS)
        try:
            self._publish()
        finally:
            with suppress(SecretopsError):  # the error of `_publish` counts
                made = (version.id for version in self._versions.all if version.id not in before)
                self._change(self.incident.model_copy(update={"made": (*self.incident.made, *made)}))

    def _publish(self) -> None:
        secret = self._secret
        if secret.is_made or self._versions.pending:
            advance(self._session, secret, force=True)
        elif self._supplied:
            supply(self._session, secret, self._supplied, force=True)
        else:
            rule, remedy = (
                "an operator must supply the values of this secret",
                "run the command again, and type the new value at the prompt, or pass it on standard input",
            )
            raise WaitingError(f"{secret.name}: no new value", rule=rule, remedy=remedy, code="value-not-supplied")

    def _end(self, version: Version) -> str:
        if self._secret.kind.alternates and version.user is not None:
            result = self._end_user(version.user, version.id)
        else:
            result = f"{version.id}: {advice.describe_end(self._secret)}"
        rotator(self._session, self._secret).retire(version)
        return result

    def _end_user(self, user: str, version: str) -> str:
        current, live = self._versions.current, None
        if current and current.user == user:
            return f"user {user} has a new password"
        with ExitStack() as opened:
            if value := self._old.get(version):
                with suppress(RefusedError, UnreachableError):
                    live = opened.enter_context(Connection(self._session.broker, value))
            admin = BrokerAdmin(self._session).credential()
            self._session.store.confirm(self._secret.name, version)
            open_target(self._session.broker, self._secret.kind).retire(admin, user)
            self._scrambled.add(user)
            ended = live is not None and _is_over(live)
        result, broker = f"user {user} has a random password", self._session.manifest.broker
        if ended:
            return f"{result}, and its sessions were ended"
        if live is None and (broker.kind is BrokerKind.MOSQUITTO or broker.embedded):
            return f"{result}, with which the broker ends its sessions"
        seen = "did not end" if live else "may not have ended"
        address = f"{broker.host}:{broker.port}"
        self._manual.append(f"{address} {seen} the sessions of {user}: end them at the broker, or restart the broker")
        return result

    def _both_slots(self) -> str:
        """Set a new password for each of the secret's two users. If a user logs in with it, the former password is
        invalid."""
        previous = self._versions.previous
        if previous is None or previous.retired or self._is_known(previous):
            self._advance()
        current = self._versions.current
        return f"{current.id if current else 'nothing'} is the current version: both users have new passwords"

    def _await_readers(self) -> str:
        session, secret, before = self._session, self._secret, self.incident.servers
        if Reader.SERVER not in secret.readers:
            return "only the rotator reads this secret, at each use"
        if secret.kind is not SecretKind.MQTT_USER:
            self._manual.append("check that each server works: servers do not report their version of this secret")
            return "servers fetch the new version themselves, and do not report it"
        if before is None:
            self._manual.append("check that each server works: the servers' reports could not be read")
            return "servers' reports could not be read, so secretops did not wait"
        if not before:
            return "no server reported its version, so secretops did not wait"
        limit = max(session.manifest.grace_seconds, MAX_WAIT_SECONDS)
        until = session.clock() + timedelta(seconds=limit)
        servers = counted(before, "server reports", "servers report")
        while True:
            facts = session.facts(secret, self._reports())
            on = len(facts.replicas) - len(outdated_replicas(facts))
            if on >= before and not outdated_replicas(facts):
                return f"{on} of {servers} the new version"
            if session.clock() >= until:
                break
            self._sleep(POLL_SECONDS)
        result = f"{on} of {servers} the new version after {limit:.0f} s"
        self._manual.append(f"{result}: read the logs of the other servers, and restart them")
        return result

    def _reports(self) -> tuple[Replica, ...]:
        session, secret, current = self._session, self._secret, self._versions.current
        if current is None:
            return ()
        try:
            value = session.store.read(secret.name, current.id, purpose="read servers' reports")
        except BusyError:  # a task of a Swarm can't read a version that is newer than the task
            raise
        except SecretopsError:
            return ()
        return replicas_read_as(session, secret, value) or ()

    def _prove(self) -> str:
        if not advice.is_testable(self._secret):
            return advice.UNTESTED
        return "; ".join([self._test(one) for one in self.incident.exposed]) or "no version was valid"

    def _test(self, one: ExposedVersion) -> str:
        value = self._old.get(one.id)
        if self._secret.kind.alternates:
            if value:
                return self._logged_in(one, value, is_good=False)
            for new in self._versions.living:
                if new.user == one.user and not self._is_known(new):
                    value = self._session.store.read(self._secret.name, new.id, purpose="test whether it is accepted")
                    return self._logged_in(one, value, is_good=True)
        elif value:
            result, is_known = advice.try_value(self._session, self._secret, one.id, value, sleep=self._sleep)
            if not is_known:
                self._manual.append(f"check whether {one.id} is refused: {result}")
            return f"{one.id}: {result}"
        tries = [each for each in self.incident.attempts if each.step is Step.PROOF and each.ended]
        last = "".join(f"; at {each.ended:%H:%M:%S} UTC {each.result}" for each in tries[-1:])
        self._manual.append(f"check whether {one.id} is refused: the store has no valid value of it{last}")
        return f"{one.id}: not tested, because the store has no valid value of it"

    def _logged_in(self, one: ExposedVersion, value: Value, *, is_good: bool) -> str:
        if logs_in(self._session.broker, value) is not is_good:
            self.incident = self.incident.with_known(*(version.id for version in self._versions.all))
            name = self._secret.name
            remedy = (
                f"find out who else changes users at the broker; then, for new passwords: secretops compromise {name}"
            )
            if is_good:
                what = f"version {one.id}: user {one.user} cannot log in with the new password"
                rule = "the broker must accept the new password, which proves that the former one is invalid"
                raise SecretopsError(what, rule=rule, remedy=remedy, code="new-password-refused")
            what = f"version {one.id}: user {one.user} still logs in with the compromised password"
            raise SecretopsError(what, rule=MUST_BE_REFUSED, remedy=remedy, code="credential-still-accepted")
        return f"{one.id}: " + (f"replaced, its user {one.user} logs in with a new password" if is_good else "refused")


def _is_over(connection: Connection) -> bool:
    try:
        connection.receive(lambda _: None, within=DROPPED_WITHIN)
    except (RefusedError, UnreachableError):
        return True
    return False
