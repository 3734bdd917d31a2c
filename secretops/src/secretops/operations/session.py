"""One stack's store, targets, journal and clock, opened together for one command."""

from __future__ import annotations

import logging
import os
import re
import socket
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from secretops.engine.decisions import Facts, all_report_current, left_by_operator
from secretops.engine.journal import Journal
from secretops.engine.mover import Handover, Mover
from secretops.engine.ports import VersionStore
from secretops.engine.rotation import Clock, Rotation
from secretops.engine.state import Replica, Stage, Version, Versions
from secretops.errors import NotFoundError, SecretopsError, StoreError, UsageError, WaitingError, did_you_mean
from secretops.forms import NAME
from secretops.hints import Hint, publish_hint
from secretops.issuers import open_issuer
from secretops.manifest import AGENT_ADMIN, Broker, Manifest, OwnedAgent, Reader, Secret, SecretKind, StoreLocation
from secretops.operations.certificate import authority_of, prove, relied_on, signing, with_certificate
from secretops.platform import Platform, Salvage, platform_of
from secretops.replicas import read_reports
from secretops.targets import open_agent, open_target
from secretops.values import Value

if TYPE_CHECKING:
    from secretops.engine.agent_key import AgentKey
    from secretops.engine.authority import Authority
    from secretops.engine.renewal import Renewal

# How long each answer of the broker may take while servers' reports are read. Nothing depends on them.
REPORT_SECONDS = 5.0

_log = logging.getLogger(__name__)


NO_ARGUMENT = "a value is never an argument: the shell's history and every process list would show it"
"""The rule that whoever types one has broken."""


def is_name(text: str) -> bool:
    """Return whether `text` has the form of a secret's name. Other text may be a value, and is not repeated."""
    return re.fullmatch(NAME, text) is not None


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass(frozen=True, kw_only=True)
class Session:
    """What a command works with. Tests give it another clock, store or journal."""

    manifest: Manifest
    store: VersionStore
    journal: Journal
    clock: Clock = _now

    @classmethod
    def open(cls, manifest: Manifest, *, role: str) -> Session:
        """A session over what the manifest names, acting as `role` in the access records."""
        store, journal = platform_of(manifest.store).open_store(manifest.store, role=role)
        return cls(manifest=manifest, store=store, journal=journal)

    @property
    def broker(self) -> Broker:
        """The broker as this process reaches it. Raises WaitingError while the certificate it asks for is missing."""
        return with_certificate(self.manifest, self.store)

    @property
    def platform(self) -> Platform[StoreLocation]:
        return platform_of(self.manifest.store)

    def check_place(self) -> None:
        """Raise UsageError if the credentials lead to another store, with secrets of the same names."""
        self.platform.check_owner(self.manifest.store, self.store)

    def left(self) -> tuple[str, ...]:
        """The secrets that left the stack and whose values are still kept, and delivered where they were.

        None where the store lists the stack's own alone: doctor finds those by their names.
        """
        if not self.platform.lists_removed:
            return ()
        return tuple(sorted(set(self.store.kept()) - {secret.name for secret in self.manifest.secrets}))

    def secret(self, name: str) -> Secret:
        """The secret called `name`. Raises UsageError that lists those there are."""
        try:
            return self.manifest.secret(name)
        except KeyError:
            names = [secret.name for secret in self.manifest.secrets]
            known = ", ".join(names)
            if not is_name(name):  # not repeated: it may be a value
                raise UsageError(
                    f"that is no secret of stack {self.manifest.stack}",
                    rule=NO_ARGUMENT,
                    remedy=f"one of {known}; if it was a value, it is known now: replace it",
                ) from None
            raise UsageError(
                f"{name}: no such secret in stack {self.manifest.stack}",
                remedy=f"{did_you_mean(name, names)}one of {known}",
            ) from None

    def lease(self, command: str) -> AbstractContextManager[None]:
        """Hold the store's lease as `command` of this process: what is written, is written under it.

        On AWS it is an item of a table with an ARN, which credentials of another account can't write.
        """
        return self.store.lease(f"secretops {command} (pid {os.getpid()} on {socket.gethostname()})")

    def facts(self, secret: Secret, replicas: tuple[Replica, ...] = ()) -> Facts:
        return Facts(
            secret=secret,
            versions=self.store.versions(secret.name),
            grace=timedelta(seconds=self.manifest.grace_seconds),
            replicas=replicas,
            expected=self.manifest.replicas,
            supplied_by=self.first_value(secret),
        )

    def published(self, secret: Secret, version: Version) -> Version:
        """Return a version that was just published, with the stage and the times that the store has for it.

        A store may answer with what was true a moment ago, or not at all: then they are those of now.
        """
        with suppress(SecretopsError):
            current = self.store.versions(secret.name).current
            if current and current.id == version.id:
                return current
        return version.at(stage=Stage.CURRENT, published=self.clock())

    def first_value(self, secret: Secret) -> str:
        """The command that brings it. The embedded broker has an admin of its own, whom nobody is shown."""
        if self.manifest.broker.embedded and secret.kind is SecretKind.BROKER_ADMIN:
            return "secretops broker start"
        return f"secretops {'rotate' if secret.is_begun else 'put'} {secret.name}"

    def replicas(self, secret: Secret) -> tuple[Replica, ...] | None:
        """Return what running servers report of `secret`, read from the broker with the secret's current value.

        None when that can't be known now: no value, no answer, no right to read, or not all of them were read.
        """
        if secret.kind is not SecretKind.MQTT_USER:
            return None
        try:
            current = self.store.versions(secret.name).current
            if current is None:
                return None
            value = self.store.read(secret.name, current.id, purpose="read servers' reports")
        except SecretopsError:
            return None
        return self.replicas_read_as(secret, value)

    def replicas_read_as(self, secret: Secret, value: Value) -> tuple[Replica, ...] | None:
        """Return what running servers report of `secret`, read from the broker as `value`. None: not known."""
        if secret.kind is not SecretKind.MQTT_USER:
            return None
        try:
            reports = read_reports(self.broker, value, secret.users, deadline=REPORT_SECONDS)
        except SecretopsError:
            return None
        # Its users are of no other secret: a report of one is forged, and may be there in a real one's place.
        return reports if all(report.secret == secret.name for report in reports) else None

    def facts_for_retiring(self, secret: Secret) -> Facts:
        """Return the facts, with what servers report, or what a CA has signed, where a previous one is to retire."""
        facts = self.facts(secret)
        previous = facts.versions.previous
        if previous is None or previous.retired:
            return facts
        if secret.kind is SecretKind.CA:
            return replace(facts, let_go=not relied_on(self.manifest, self.store, secret, previous, self.clock()))
        facts = self.facts(secret, self.replicas(secret) or ())
        return replace(facts, guarded=all_report_current(facts) and self._guards_reports(secret))

    def _guards_reports(self, secret: Secret) -> bool:
        try:
            return open_target(self.broker, secret.kind).guards_reports(self.admin(), secret.users)
        except SecretopsError as error:
            _log.info("%s: who may write reports is not known: %s", secret.name, error.what)
            return False

    def await_admin(self, secret: Secret) -> None:
        """Raise WaitingError while there is no broker admin that the next step of `secret` needs.

        Asked before a rotation begins, so that none is left half-done for want of an admin. What an operator put needs
        none to be finished: so an interrupted `put broker-admin` is.
        """
        if not left_by_operator(self.facts(secret)):
            self._current_admin()

    def _current_admin(self) -> tuple[str, str]:
        """The broker admin's secret and its current version. Raises WaitingError while there is none."""
        secret = self.manifest.of_kind(SecretKind.BROKER_ADMIN)
        current = self.store.versions(secret.name).current if secret else None
        if secret is None or current is None:
            raise WaitingError(
                "there is no broker-admin yet",
                rule="the first admin of a broker is supplied by its operator; secretops rotates it from then on",
                remedy=self.first_value(secret) if secret else "secretops put broker-admin",
            )
        return secret.name, current.id

    def admin(self) -> Value:
        """The acting broker admin's credential. Raises WaitingError, also where its value is lost."""
        secret, version = self._current_admin()
        try:
            return self.store.read(secret, version, purpose="act as broker admin")
        except NotFoundError as error:
            raise WaitingError(
                f"{secret}: the value of version {version} is lost",
                rule="only the broker's admin changes its users, and nobody else knows that password",
                remedy=f"secretops put {secret} --now, with an admin of the broker; then the same command again",
            ) from error

    def settle(self, secret: Secret, *, replaced: bool = False) -> None:
        """Finish what a crash cut short. Where readers can't be brought to a version because the broker refuses it,
        the broker is made to take it first. `replaced`: the current version is about to be, so its value may be lost.

        Raises StoreError, NotFoundError for a lost value, and what the steps raise.
        """
        try:
            self.store.settle(secret.name, self.clock())
        except NotFoundError:
            if not replaced:
                raise
        except StoreError:
            if not secret.kind.alternates or not self.rotation(secret).accept_again():
                raise
            self.store.settle(secret.name, self.clock())

    @contextmanager
    def emergency(self, secret: Secret, command: str) -> Iterator[list[str]]:
        """Hold the lease, with broken files of `secret` and of the broker's admin set aside.

        Yields a line for each file. Only the store `dotenv` has such files. Raises the errors of `lease`, StoreError.
        """
        salvage = self.salvage()
        lines = salvage.unblock() if salvage else []
        with self.lease(command):
            if salvage:
                admin = self.manifest.of_kind(SecretKind.BROKER_ADMIN)
                lines += salvage.set_aside(secret.name, edits=True)
                lines += salvage.set_aside(admin.name, edits=False) if admin else []
            yield lines

    def salvage(self) -> Salvage | None:
        """Return what repairs the store's files; None for a store that is no folder."""
        return self.platform.salvage(self.manifest.store, self.store)

    def known_versions(self, secret: str) -> Versions:
        """Return the versions that the store keeps, or those whose values read if the record of them does not.

        Raises StoreError, UnreachableError.
        """
        try:
            return self.store.versions(secret)
        except StoreError:
            if (salvage := self.salvage()) is None:
                raise
            return salvage.rebuilt(secret)

    def had_value(self, secret: Secret) -> bool:
        """Return whether `secret` ever had a version here, also where its record is lost or does not read."""
        try:
            if self.store.versions(secret.name).all or self.journal.last(secret.name):
                return True
        except StoreError:
            return True
        salvage = self.salvage()
        return salvage is not None and salvage.was_published(secret.name)

    def mover(self, secret: Secret) -> Mover:
        """What moves `secret`. Raises WaitingError while what it needs for that is missing, UsageError."""
        if secret.kind is SecretKind.CA:
            return self.authority(secret)
        if secret.issuer:
            return self.renewal(secret)
        if isinstance(secret.agent, OwnedAgent):
            return self.agent_key(secret, secret.agent)
        if secret.kind.alternates:
            self.await_admin(secret)
            return self.rotation(secret)
        return Handover(secret, store=self.store, clock=self.clock)

    def advance(self, secret: Secret, mover: Mover | None = None, *, cut_off: bool = False) -> Version:
        """Move `secret` to its next version, and hint at it. Raises what `Mover.advance` does."""
        version = (mover or self.mover(secret)).advance(cut_off=cut_off)
        self.hint(secret, version.id)
        return version

    def hint(self, secret: Secret, version: str) -> None:
        """Hint at the published `version` where launchers poll the store, as the servers' user. Raises nothing."""
        server = self.manifest.of_kind(SecretKind.MQTT_USER)
        if not self.platform.is_polled or not server or Reader.SERVER not in secret.readers:
            return
        try:
            current = self.store.versions(server.name).current
            if current:
                value = self.store.read(server.name, current.id, purpose="hint at a new version")
                publish_hint(self.broker, value, Hint(secret.name, version))
        except SecretopsError as error:
            _log.warning("%s: no hint at %s: launchers find it by their poll. %s", secret.name, version, error.what)
        except Exception:  # the version is published: nothing that follows may fail its rotation
            _log.exception("%s: no hint at %s: launchers find it by their poll", secret.name, version)

    def renewal(self, secret: Secret) -> Renewal:
        """How `secret` moves. Only for one that somebody issues. Raises UsageError."""
        from secretops.engine.renewal import Renewal  # it takes long to load, and a rotation needs none

        return Renewal(
            secret,
            common_name=secret.issuer.common_name if secret.issuer else "",
            store=self.store,
            issuer=open_issuer(self.manifest, secret, self.store, self.clock),
            authority=lambda: authority_of(self.manifest.broker),
            prove=lambda version, value: prove(self.manifest, self.store, version, value),
            journal=self.journal,
            clock=self.clock,
        )

    def agent_key(self, secret: Secret, agent: OwnedAgent) -> AgentKey:
        """How the key of an agent of ours moves. Raises WaitingError while there is no token to make keys with."""
        from secretops.engine.agent_key import AgentKey

        admin, _ = AGENT_ADMIN
        versions = self.store.versions(admin)
        current = versions.current
        if current is None:
            raise WaitingError(
                f"there is no {admin} yet",
                rule="keys of an agent are made with a token of its owner's, who supplies that",
                remedy=f"secretops put {admin}",
            )
        return AgentKey(
            secret,
            prefix=agent.prefix,
            agent=open_agent(agent, lambda: self.store.read(admin, current.id, purpose="make agent keys")),
            admins=(current.id, *(version.id for version in versions.all if version is not current)),
            store=self.store,
            journal=self.journal,
            clock=self.clock,
            grace=timedelta(seconds=self.manifest.grace_seconds),
        )

    def authority(self, secret: Secret) -> Authority:
        """How `secret` moves. Only for a CA of the stack's own."""
        from secretops.engine.authority import Authority  # it takes long to load, and a rotation needs none

        return Authority(
            secret,
            signing(self.manifest, secret)[1],
            store=self.store,
            relied_on=lambda version: relied_on(self.manifest, self.store, secret, version, self.clock()),
            prove=lambda version, value: prove(self.manifest, self.store, version, value),
            journal=self.journal,
            clock=self.clock,
        )

    def rotation(self, secret: Secret, *, admin: Value | None = None) -> Rotation:
        """How `secret` moves. Only for kinds that alternate. `admin` acts instead of the one in the store."""
        return Rotation(
            secret,
            store=self.store,
            target=open_target(self.broker, secret.kind),
            admin=self.admin if admin is None else lambda: admin,
            journal=self.journal,
            clock=self.clock,
            grace=timedelta(seconds=self.manifest.grace_seconds),
        )
