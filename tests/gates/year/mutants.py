"""Bugs, planted in the engine one at a time: each is one that a person could make."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from secretops.engine import decisions
from secretops.engine.agent_key import AgentKey, Look
from secretops.engine.decisions import Facts, Finding, Reason
from secretops.engine.rotation import Rotation
from secretops.engine.state import Version
from secretops.errors import RefusedError, UnreachableError
from secretops.operations import session as sessions
from secretops.operations import tick
from secretops.operations.session import Session
from secretops.values import Value, new_password


def published_unproven() -> Any:
    """A version is published, and proven afterwards."""

    def advance(self: Rotation, *, cut_off: bool = False) -> Version:
        version = self._facts().versions.pending or self.prepare(cut_off=cut_off)
        self.apply(version, cut_off=cut_off)
        self.publish(version)
        self.verify(version)
        return version

    return mock.patch.object(Rotation, "advance", advance)


def retired_at_once() -> Any:
    """The readers of a replaced version have no grace."""
    return mock.patch.object(decisions, "grace_of", lambda _facts: timedelta())


def half_a_grace() -> Any:
    """They have half of it."""
    whole = decisions.grace_of
    return mock.patch.object(decisions, "grace_of", lambda facts: whole(facts) / 2)


def new_password_each_try() -> Any:
    """A try that goes on from a pending version makes a new password, which the store does not learn."""
    read = Rotation._value

    def value(self: Rotation, version: Version, purpose: str) -> Value:
        kept = read(self, version, purpose)
        return Value({**kept, "password": new_password()}) if purpose == "apply" else kept

    return mock.patch.object(Rotation, "_value", value)


def user_in_use() -> Any:
    """The next password is made for the user that readers have."""
    prepare = Rotation.prepare

    def prepared(self: Rotation, *, token: str | None = None, cut_off: bool = False) -> Version:
        version = prepare(self, token=token, cut_off=cut_off)
        current = self._facts().versions.current
        if current is None or current.user not in self._secret.users:
            return version
        taken = Value({"username": current.user, "password": new_password()})
        again = replace(version, id=f"{version.id}-again", user=current.user)
        self._store.add(self._secret.name, again, taken)
        return again

    @contextmanager
    def planted() -> Iterator[None]:
        def apply(self: Rotation, version: Version, *, cut_off: bool = False) -> None:
            self._target.apply(self._admin(), self._value(version, "apply"))

        with mock.patch.object(Rotation, "prepare", prepared), mock.patch.object(Rotation, "apply", apply):
            yield

    return planted()


def no_lease() -> Any:
    """Nobody asks for the lease."""
    return mock.patch.object(Session, "lease", lambda *_: nullcontext())


def overdue_untold() -> Any:
    """What is overdue is not told."""

    def silent(_facts: Facts, _now: datetime) -> Finding | None:
        return None

    told = tuple(silent if one is decisions.overdue else one for one in decisions.DECISIONS)
    return mock.patch.object(decisions, "DECISIONS", told)


def overdue_certificate_untold() -> Any:
    """What is overdue is not told of a certificate, until it ends."""

    def silent(facts: Facts, now: datetime) -> Finding | None:
        return None if facts.secret.is_issued else decisions.overdue(facts, now)

    told = tuple(silent if one is decisions.overdue else one for one in decisions.DECISIONS)
    return mock.patch.object(decisions, "DECISIONS", told)


def patient() -> Any:
    """What is overdue is told after sixty days and not after one."""
    return mock.patch.object(decisions, "OVERDUE_AFTER", timedelta(days=60))


def password_in_an_error() -> Any:
    """What could not be set at the broker is told with the password."""
    apply = Rotation.apply

    def applied(self: Rotation, version: Version, *, cut_off: bool = False) -> None:
        try:
            apply(self, version, cut_off=cut_off)
        except (RefusedError, UnreachableError) as error:
            value = self._value(version, "told")
            raise type(error)(f"{error}: {value.get('password')}") from error

    return mock.patch.object(Rotation, "apply", applied)


def late_begun_untold() -> Any:
    """A tick that makes late what is overdue does not tell that it was."""

    def found(facts: Facts, now: datetime) -> tuple[Finding, ...]:
        return tuple(one for one in decisions.findings(facts, now) if one.reason is not Reason.OVERDUE)

    return mock.patch.object(tick, "findings", found)


def cut_off_untold() -> Any:
    """A server that is behind when its user is retired is not told of."""

    def silent(_facts: Facts, _now: datetime) -> Finding | None:
        return None

    told = tuple(silent if one is decisions.replica_behind else one for one in decisions.DECISIONS)
    return mock.patch.object(decisions, "DECISIONS", told)


def lost_key_left() -> Any:
    """A key whose answer was lost is not looked for."""
    look = AgentKey.look
    return mock.patch.object(AgentKey, "look", lambda self: Look((), look(self).lost))


def authority_let_go() -> Any:
    """A CA is retired while certificates that it signed are in use."""
    return mock.patch.object(sessions, "relied_on", lambda *_: False)


def never_retired() -> Any:
    """A replaced user keeps its password, and the store says that it does not."""

    def retire(self: Rotation, version: Version) -> None:
        self._store.mark(self._secret.name, version.id, retired=self._clock())

    return mock.patch.object(Rotation, "retire", retire)


MUTANTS = (
    published_unproven,
    retired_at_once,
    half_a_grace,
    new_password_each_try,
    user_in_use,
    no_lease,
    overdue_untold,
    overdue_certificate_untold,
    patient,
    password_in_an_error,
    late_begun_untold,
    cut_off_untold,
    lost_key_left,
    authority_let_go,
    never_retired,
)
