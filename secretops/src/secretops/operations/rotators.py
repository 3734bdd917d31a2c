"""Rotators of secrets by kind, and recovery after a crash. Both need the store's lease."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

from secretops import registry
from secretops.engine import ports
from secretops.engine.decisions import is_operator_supplied
from secretops.engine.rotation import Rotation
from secretops.engine.rotator import Rotator, SuppliedSecret
from secretops.engine.state import Version, Versions
from secretops.errors import NotFoundError, StoreError, UsageError, WaitingError
from secretops.manifest import AGENT_ADMIN, Manifest, OwnedAgent, PrivateCaIssuer, Secret, SecretKind
from secretops.operations.broker_access import BrokerAdmin, hint
from secretops.operations.certificate import authority_of, prove, relied_on, signing
from secretops.operations.session import Session
from secretops.stores.store_errors import InvalidValueError, MissingFieldError, RemovedError
from secretops.targets import open_agent, open_target
from secretops.values import Value

# The other rotators are imported on use: cryptography is slow to import.
if TYPE_CHECKING:
    from secretops.certificates import SignedCertificate
    from secretops.engine.agent_key import AgentKey


def rotator(session: Session, secret: Secret, versions: Versions | None = None) -> Rotator:
    """Return the rotator of `secret`. `versions`: the store's versions, if the caller has read them under the lease.

    Raises UsageError, WaitingError.
    """
    shared = _shared(session, versions)
    if secret.kind is SecretKind.CA:
        from secretops.engine.renewal import Authority

        return Authority(
            secret,
            issuer=signing(session.manifest, secret)[1],
            relied_on=lambda version: relied_on(session.manifest, session.store, secret, version, session.clock()),
            prove=partial(prove, session.manifest, session.store),
            **shared,
        )
    if secret.issuer:
        from secretops.engine.renewal import Renewal

        return Renewal(
            secret,
            common_name=secret.issuer.common_name,
            issuer=open_issuer(session.manifest, secret, session.store, session.clock),
            authority=lambda: authority_of(session.manifest.broker),
            prove=partial(prove, session.manifest, session.store),
            **shared,
        )
    if isinstance(secret.agent, OwnedAgent):
        return agent_key(session, secret, secret.agent, versions)
    if secret.kind.alternates:
        return rotation(session, secret, versions=versions, waits=True)
    return SuppliedSecret(secret, **shared)


def _shared(session: Session, versions: Versions | None) -> dict[str, Any]:
    shared = {"store": session.store, "journal": session.journal, "clock": session.clock}
    return {**shared, "grace": session.grace, "known": versions}


def advance(session: Session, secret: Secret, made: Rotator | None = None, *, force: bool = False) -> Version:
    """Publish the next version of `secret`, and send launchers a hint. Raises the errors of `Rotator.advance`."""
    version = (made or rotator(session, secret)).advance(force=force)
    hint(session, secret, version.id)
    return version


def kept_user(secret: Secret, retired: Version) -> str:
    theirs = secret.kind.alternates and retired.user not in secret.users
    return f"kept your user {retired.user}" if theirs else ""


def recover(session: Session, secret: Secret, *, replaced: bool = False, force: bool = False) -> bool:
    """Finish an interrupted rotation of `secret`. If the broker refuses a password that no reader has yet, set it
    again. Return whether the current value lacks a field.

    `replaced`: the caller replaces the current version, which may be removed; with `force`, unreadable. Raises
    StoreError, NotFoundError, and the steps' errors.
    """
    try:
        session.store.recover(secret.name, session.clock())
    except MissingFieldError:
        if not (replaced or secret.is_made):
            raise
        return True
    except RemovedError:
        if not replaced:
            raise
    except (NotFoundError, InvalidValueError):
        if not force:
            raise
    except StoreError:
        if not secret.kind.alternates or not rotation(session, secret).reapply_current():
            raise
        session.store.recover(secret.name, session.clock())
    return False


def rotation(
    session: Session,
    secret: Secret,
    *,
    admin: Value | None = None,
    versions: Versions | None = None,
    waits: bool = False,
) -> Rotation:
    """Return the rotator of a secret with two broker users. `admin` is used instead of the admin in the store.

    `waits`: raise WaitingError if there is no broker admin, unless an interrupted `put` must be finished.
    """
    acting = BrokerAdmin(session)
    made = Rotation(
        secret,
        target=open_target(session.broker, secret.kind),
        admin=acting.credential if admin is None else lambda: admin,
        **_shared(session, versions),
    )
    if waits and not is_operator_supplied(secret, made.versions):
        acting.current  # noqa: B018 - raises WaitingError
    return made


def agent_key(session: Session, secret: Secret, agent: OwnedAgent, versions: Versions | None = None) -> AgentKey:
    """Return the rotator of a key of an owned agent. Raises WaitingError."""
    from secretops.engine.agent_key import AgentKey

    admin, _ = AGENT_ADMIN
    admins = session.store.versions(admin)
    current = admins.current
    if current is None:
        rule = "an operator must supply the DigitalOcean API token that creates agent keys"
        what = f"{admin} has no value yet"
        raise WaitingError(what, rule=rule, remedy=f"secretops put {admin}", code="agent-admin-missing")
    return AgentKey(
        secret,
        prefix=agent.prefix,
        agent=open_agent(agent, lambda: session.store.read(admin, current.id, purpose="make agent keys")),
        admins=(current.id, *(version.id for version in admins.all if version is not current)),
        **_shared(session, versions),
    )


def open_issuer(
    manifest: Manifest, secret: Secret, store: ports.VersionStore, clock: Callable[[], datetime]
) -> ports.Issuer:
    """Return the issuer of `secret`. Does not connect. Raises UsageError."""
    if secret.issuer is None:
        what, rule = (
            f"{secret.name}: no issuer",
            "a certificate requires an issuer in the stack file, or an operator who supplies the certificate",
        )
        raise UsageError(what, rule=rule, remedy=f"secretops put {secret.name}", code="issuer-missing")
    if isinstance(secret.issuer, PrivateCaIssuer):
        return PrivateCa(secret.issuer, store, clock)
    opened: ports.Issuer = registry.find_issuer(secret.issuer.kind).open_issuer(manifest, secret.issuer)
    return opened


@dataclass(frozen=True)
class PrivateCa:
    """The stack's own CA as an issuer. It signs with the current CA."""

    _issuer: PrivateCaIssuer
    _store: ports.VersionStore
    _clock: Callable[[], datetime]

    def sign(self, request: str) -> SignedCertificate:
        """Return a client certificate for `request`. Raises WaitingError if there is no current CA."""
        from secretops import certificates  # slow to import

        name = self._issuer.secret
        current = self._store.versions(name).current
        if current is None:
            what, rule = (
                f"{name}: no current CA yet",
                "the current CA must sign the certificate; a new CA becomes current when the broker trusts it",
            )
            raise WaitingError(what, rule=rule, remedy=f"secretops rotate {name}", code="ca-not-trusted")
        value = self._store.read(name, current.id, purpose="sign a client certificate")
        try:
            return certificates.sign(
                request, value["ca.crt"], value["ca.key"], seconds=self._issuer.seconds, now=self._clock()
            )
        except ValueError:
            what, rule = (
                f"{name}: version {current.id} has no readable CA",
                "the value of a CA must be a certificate and a key",
            )
            remedy = f"secretops rotate {name}; then find out who changed the value in the store"
            raise StoreError(what, rule=rule, remedy=remedy, code="ca-unreadable") from None
