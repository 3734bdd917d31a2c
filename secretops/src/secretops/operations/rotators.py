"""Makes the rotator of a secret, by its kind, and recovers what a crash cut short. Call it under the store's lease."""

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
from secretops.targets import open_agent, open_target
from secretops.values import Value

# The other rotators are imported where they are made: cryptography takes long to load.
if TYPE_CHECKING:
    from secretops.certificates import SignedCertificate
    from secretops.engine.agent_key import AgentKey


def rotator(session: Session, secret: Secret, versions: Versions | None = None) -> Rotator:
    """Return the rotator of `secret`. `versions` are those of the store, if the caller has read them under the lease.

    Raises WaitingError while what it needs is missing, so that no rotation is left half-done; UsageError.
    """
    if secret.kind is SecretKind.CA:
        from secretops.engine.renewal import Authority

        return Authority(
            secret,
            issuer=signing(session.manifest, secret)[1],
            relied_on=lambda version: relied_on(session.manifest, session.store, secret, version, session.clock()),
            prove=partial(prove, session.manifest, session.store),
            **_shared(session, versions),
        )
    if secret.issuer:
        from secretops.engine.renewal import Renewal

        return Renewal(
            secret,
            common_name=secret.issuer.common_name,
            issuer=open_issuer(session.manifest, secret, session.store, session.clock),
            authority=lambda: authority_of(session.manifest.broker),
            prove=partial(prove, session.manifest, session.store),
            **_shared(session, versions),
        )
    if isinstance(secret.agent, OwnedAgent):
        return agent_key(session, secret, secret.agent, versions)
    if secret.kind.alternates:
        return rotation(session, secret, versions=versions, waits=True)
    return SuppliedSecret(secret, **_shared(session, versions))


def _shared(session: Session, versions: Versions | None) -> dict[str, Any]:
    """Return the arguments that every rotator has."""
    shared = {"store": session.store, "journal": session.journal, "clock": session.clock}
    return {**shared, "grace": session.grace, "known": versions}


def advance(session: Session, secret: Secret, made: Rotator | None = None, *, force: bool = False) -> Version:
    """Move `secret` to its next version, and hint at it. Raises what `Rotator.advance` does."""
    version = (made or rotator(session, secret)).advance(force=force)
    hint(session, secret, version.id)
    return version


def recover(session: Session, secret: Secret, *, replaced: bool = False) -> None:
    """Finish what a crash cut short. If the broker refuses a version that readers do not have yet, make it accept it.

    `replaced`: the current version is about to be replaced, so its value may be lost. Raises StoreError, NotFoundError
    for a lost value, and what the steps raise.
    """
    try:
        session.store.recover(secret.name, session.clock())
    except NotFoundError:
        if not replaced:
            raise
    except StoreError:
        if not secret.kind.alternates or not rotation(session, secret).reapply_current():
            raise
        session.store.recover(secret.name, session.clock())


def rotation(
    session: Session,
    secret: Secret,
    *,
    admin: Value | None = None,
    versions: Versions | None = None,
    waits: bool = False,
) -> Rotation:
    """Return the rotator of an alternating secret. `admin` acts instead of the one in the store.

    With `waits` raises WaitingError while there is no broker admin for its next step. To finish what an operator
    supplied takes none: so an interrupted `put broker-admin` is.
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
    """Return the rotator of a key of our agent. Raises WaitingError while there is no token to make keys with."""
    from secretops.engine.agent_key import AgentKey

    admin, _ = AGENT_ADMIN
    admins = session.store.versions(admin)
    current = admins.current
    if current is None:
        raise WaitingError(
            f"there is no {admin} yet",
            rule="keys of an agent are made with a token of its owner's, who supplies that",
            remedy=f"secretops put {admin}",
        )
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
    """Return the client of the issuer of `secret`. Connects to nothing. Raises UsageError if the stack names none."""
    if secret.issuer is None:
        raise UsageError(
            f"{secret.name}: nobody is named who signs it",
            rule="secretops has only those certificates made whose issuer the stack names",
            remedy=f"secretops put {secret.name}",
        )
    if isinstance(secret.issuer, PrivateCaIssuer):
        return PrivateCa(secret.issuer, store, clock)
    opened: ports.Issuer = registry.find_issuer(secret.issuer.kind).open_issuer(manifest, secret.issuer)
    return opened


@dataclass(frozen=True)
class PrivateCa:
    """Signs by the CA that is current: one that the broker has accepted a certificate of."""

    _issuer: PrivateCaIssuer
    _store: ports.VersionStore
    _clock: Callable[[], datetime]

    def sign(self, request: str) -> SignedCertificate:
        """Raises WaitingError while there is no such CA yet."""
        from secretops import certificates  # it takes long to load, and a rotation needs none

        name = self._issuer.secret
        current = self._store.versions(name).current
        if current is None:
            raise WaitingError(
                f"{name}: there is no CA yet that the broker takes certificates of",
                rule="a CA signs once the broker has taken a certificate of it",
                remedy=f"secretops rotate {name} says what the broker lacks",
            )
        value = self._store.read(name, current.id, purpose="sign a client certificate")
        try:
            return certificates.sign(
                request, value["ca.crt"], value["ca.key"], seconds=self._issuer.seconds, now=self._clock()
            )
        except ValueError:
            raise StoreError(
                f"{name}: {current.id} holds no CA",
                rule="its value is a certificate and its key, as secretops made them",
                remedy=f"secretops rotate {name} makes a new one; who changed it in the store?",
            ) from None
