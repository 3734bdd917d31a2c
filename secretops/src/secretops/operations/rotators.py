"""Makes the rotator of a secret, by its kind, and recovers what a crash cut short. Call it under the store's lease."""

from __future__ import annotations

from typing import TYPE_CHECKING

from secretops.engine.decisions import is_operator_supplied
from secretops.engine.rotation import Rotation
from secretops.engine.rotator import Rotator, SuppliedSecret
from secretops.engine.state import Version, Versions
from secretops.errors import NotFoundError, StoreError, WaitingError
from secretops.issuers import open_issuer
from secretops.manifest import AGENT_ADMIN, OwnedAgent, Secret, SecretKind
from secretops.operations.broker_access import BrokerAdmin, hint
from secretops.operations.certificate import authority_of, prove, relied_on, signing
from secretops.operations.session import Session
from secretops.targets import open_agent, open_target
from secretops.values import Value

# The other rotators are imported where they are made: cryptography takes long to load.
if TYPE_CHECKING:
    from secretops.engine.agent_key import AgentKey


def rotator(session: Session, secret: Secret, versions: Versions | None = None) -> Rotator:
    """Return the rotator of `secret`. `versions` are those of the store, if the caller has read them under the lease.

    Raises WaitingError while what it needs is missing, so that no rotation is left half-done; UsageError.
    """
    if secret.kind is SecretKind.CA:
        return _authority(session, secret, versions)
    if secret.issuer:
        return _renewal(session, secret, versions)
    if isinstance(secret.agent, OwnedAgent):
        return agent_key(session, secret, secret.agent, versions)
    if secret.kind.alternates:
        return rotation(session, secret, versions=versions, waits=True)
    return SuppliedSecret(secret, store=session.store, journal=session.journal, clock=session.clock, known=versions)


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
        if not secret.kind.alternates or not rotation(session, secret).accept_again():
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
        store=session.store,
        target=open_target(session.broker, secret.kind),
        admin=acting.credential if admin is None else lambda: admin,
        journal=session.journal,
        clock=session.clock,
        grace=session.grace,
        known=versions,
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
        store=session.store,
        journal=session.journal,
        clock=session.clock,
        grace=session.grace,
        known=versions,
    )


def _renewal(session: Session, secret: Secret, versions: Versions | None) -> Rotator:
    from secretops.engine.renewal import Renewal

    return Renewal(
        secret,
        common_name=secret.issuer.common_name if secret.issuer else "",
        store=session.store,
        issuer=open_issuer(session.manifest, secret, session.store, session.clock),
        authority=lambda: authority_of(session.manifest.broker),
        prove=lambda version, value: prove(session.manifest, session.store, version, value),
        journal=session.journal,
        clock=session.clock,
        known=versions,
    )


def _authority(session: Session, secret: Secret, versions: Versions | None) -> Rotator:
    from secretops.engine.authority import Authority

    return Authority(
        secret,
        issuer=signing(session.manifest, secret)[1],
        store=session.store,
        relied_on=lambda version: relied_on(session.manifest, session.store, secret, version, session.clock()),
        prove=lambda version, value: prove(session.manifest, session.store, version, value),
        journal=session.journal,
        clock=session.clock,
        known=versions,
    )
