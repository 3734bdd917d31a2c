"""The plan of an incident, the steps for a person, and proofs other than a login."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from secretops.errors import RefusedError, SecretopsError, UnreachableError, WaitingError
from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, ExternalAgent, Manifest, OwnedAgent, Reader, Secret, SecretKind
from secretops.operations.certificate import is_asked_for, prove
from secretops.operations.compromise.incident import Incident, Step, files_of
from secretops.operations.rotate import LONGEST_WAIT
from secretops.operations.session import Session
from secretops.platform import platform_of
from secretops.targets import open_agent
from secretops.values import Value

OF_THE_ADMIN = (
    "whoever had the broker's admin may have made users, or given rights: look through those that the broker has"
)

OF_AGENT_ADMIN = "whoever had the token may have made keys of the agent: look through those that it has"

UNTRIED = "nothing of this stack can tell whether what was out is refused"

# Pauses before a deleted key is tried again: two services have to learn of it.
ASK_AGAIN = (2.0, 4.0, 8.0, 16.0)


def end_of(secret: Secret) -> str:
    """Return what happens to a replaced value that is not a broker user's."""
    if secret.kind is SecretKind.CA:
        return "its key is destroyed"
    if secret.kind is SecretKind.X509:
        return "its key is forgotten; its certificate is good until it ends, or is revoked"
    return "the agent's key is deleted" if isinstance(secret.agent, OwnedAgent) else "its value is forgotten"


def can_be_tried(secret: Secret) -> bool:
    """Return whether the old value can be tried. It is read only then."""
    return secret.kind.alternates or secret.kind is SecretKind.X509 or secret.agent is not None


def serial_of(pem: str) -> str | None:
    """Return the serial number of the first certificate, or None."""
    from cryptography import x509  # a function of AWS may have none

    try:
        return f"{x509.load_pem_x509_certificates(pem.encode())[0].serial_number:x}"
    except ValueError:
        return None


def elsewhere(secret: Secret, incident: Incident) -> list[str]:
    """Return the steps for a person where the value was made, or is accepted."""
    match secret.kind:
        case SecretKind.MQTT_USER:
            return _own_users(secret, incident)
        case SecretKind.BROKER_ADMIN:
            return [OF_THE_ADMIN, *_own_users(secret, incident)]
        case SecretKind.X509:
            return [_revoke(secret, serial) for serial in _serials(incident)]
        case SecretKind.CA:
            return [
                "have the certificates that it signed replaced: secretops compromise client-cert",
                "then give the broker what secretops trust prints, which is without it, and restart the broker",
            ]
        case SecretKind.AGENT_KEY if secret.is_made:
            theirs = ["delete the key that secretops did not make"] if any(not one.user for one in incident.out) else []
            return [*theirs, "look at what the agent was used for meanwhile, in DigitalOcean's console"]
        case _:
            return _given_out(secret)


def _given_out(secret: Secret) -> list[str]:
    if (secret.name, *secret.fields) == HTTP_TOKEN:
        from secretops.launcher.http_options import OVERLAP

        return [
            "give clients the new token",
            f"start each server again once it has the new token: it takes the one before for {OVERLAP} s more",
        ]
    made = [OF_AGENT_ADMIN] if secret.name == AGENT_ADMIN[0] else []
    return [f"take the old {secret.name} back where it was given out: until then it is good", *made]


def _own_users(secret: Secret, incident: Incident) -> list[str]:
    users = dict.fromkeys(one.user for one in incident.out if one.user and one.user not in secret.users)
    scrambled = [f"{user} is a user of yours, and has a password that nobody knows then: give it one" for user in users]
    kept = [
        f"{user} is a user of yours that was left as it is, and its password lay in the store: give it another"
        for user in incident.kept
    ]
    taken = " and ".join(incident.taken_over)
    new = f"{taken} are taken over, if the broker has them: another stack that uses them has to make its own"
    return [*scrambled, *kept, *([new] if taken else [])]


def made_with(session: Session, secret: Secret) -> list[str]:
    """Return the steps for what may have been made with `secret`."""
    key = session.manifest.of_kind(SecretKind.AGENT_KEY)
    if key is None or secret.name != AGENT_ADMIN[0] or not isinstance(key.agent, OwnedAgent):
        return []
    store = session.store
    current = store.versions(secret.name).current
    if current is None:
        return []
    agent = open_agent(key.agent, lambda: store.read(secret.name, current.id, purpose="list the agent's keys"))
    ours = " ".join(version.user or "" for version in store.versions(key.name).all)
    try:
        theirs = [f"{one.name or 'without a name'} ({one.id})" for one in agent.list_keys() if one.id not in ours]
    except (RefusedError, UnreachableError) as error:
        return [f"the agent's keys could not be listed: {error.what}"]
    return [f"delete this key of the agent, if nobody knows it; secretops did not make it: {one}" for one in theirs]


def _serials(incident: Incident) -> list[str]:
    return [f"serial {one.serial}" for one in incident.out if one.serial] or ["the one before"]


def _revoke(secret: Secret, which: str) -> str:
    """Return how to revoke a certificate. secretops has no right to."""
    if secret.issuer and not secret.issuer.revocation:
        return f"certificate {which} is good until it ends; a new CA ends it: secretops compromise client-ca"
    how = secret.issuer.revocation if secret.issuer else "at whoever signed it"
    return f"revoke certificate {which} ({how}), and give the broker the list of what is revoked"


def tried(
    session: Session, secret: Secret, version: str, value: Value, *, sleep: Callable[[float], None]
) -> tuple[str, bool]:
    """Try a value that ended. Return the result, and whether it is known.

    Raises UnreachableError, and SecretopsError if an agent still accepts a deleted key.
    """
    if secret.kind is SecretKind.X509:
        return _tried_certificate(session, secret, version, value)
    if secret.agent:
        return _tried_key(secret, secret.agent, value, sleep)
    return UNTRIED, True


def _tried_certificate(session: Session, secret: Secret, version: str, value: Value) -> tuple[str, bool]:
    """Try the certificate, and the new one: an unreachable broker refuses nothing."""
    manifest, store = session.manifest, session.store
    if not is_asked_for(manifest.broker):
        return "the broker asks for no certificate, so nothing can tell", True
    try:
        prove(manifest, store, version, value)
    except RefusedError as error:
        return f"not tried: {error.what}", False
    except (UnreachableError, WaitingError) as refused:
        current = store.versions(secret.name).current
        if current is None:
            return f"not tried: {refused.what}", False
        new = store.read(secret.name, current.id, purpose="try whether it is accepted")
        try:
            prove(manifest, store, current.id, new)
        except (RefusedError, UnreachableError, WaitingError) as error:
            return f"not tried: the broker does not take the new one either: {error.what}", False
        return "the broker takes the certificate no more, and takes the new one", True
    return "the broker takes the certificate until it ends, or is revoked", True


def _tried_key(
    secret: Secret, agent: ExternalAgent | OwnedAgent, value: Value, sleep: Callable[[float], None]
) -> tuple[str, bool]:
    from secretops.targets.digitalocean import verify

    for pause in (*ASK_AGAIN, 0.0):
        try:
            verify(agent.url, value)
        except RefusedError:
            return "the agent refuses the key", True
        except UnreachableError as error:
            return f"not tried: {error.what}", False
        if isinstance(agent, ExternalAgent):
            return "the agent takes the key until it is deleted where it was given out", True
        sleep(pause)
    raise SecretopsError(
        f"{secret.name}: the agent still takes a key that was deleted",
        rule="a compromised credential is refused before its incident ends",
        remedy="see in DigitalOcean's console that it is gone; the same command again goes on",
    )


def cost(manifest: Manifest, secret: Secret) -> str:
    """Return the cost for running servers."""
    if secret.kind is SecretKind.MQTT_USER:
        return (
            f"Servers are without the broker until they have the new one: {platform_of(manifest.store).delivery_delay}."
        )
    if isinstance(secret.agent, OwnedAgent):
        return (
            f"Servers are without the agent until they have the new one: {platform_of(manifest.store).delivery_delay}."
        )
    return "Servers that work go on."


def plan(session: Session, secret: Secret, incident: Incident, *, folder: Path, files: tuple[str, ...]) -> list[str]:
    """Return each step in a line. Changes nothing, and reads no value."""
    for_programs, for_people = files_of(incident, folder)
    done = f"; gone on with, done: {', '.join(incident.done)}" if incident.moments else ""
    return [
        f"incident: {for_programs} and {for_people.name}{done}",
        f"{Step.FREEZE}: hold the lease of store {incident.store}: ticks and other commands answer that it is busy",
        f"{Step.REPLACE}: {_replacing(session, secret, incident)}",
        *([f"{Step.BOTH_SLOTS}: the other one gets a new password, too"] if secret.kind.alternates else []),
        f"{Step.PROOF}: {_proof(session, secret)}",
        f"{Step.READERS}: {_readers(session, secret)}",
        f"{Step.TRAIL}: {_trail(session, files, incident.since)}",
        f"cost: {cost(session.manifest, secret)}",
        *(f"left to you: {text}" for text in elsewhere(secret, incident)),
    ]


def _replacing(session: Session, secret: Secret, incident: Incident) -> str:
    out = ", ".join(f"{one.id}{f' of {one.user}' if one.user else ''}" for one in incident.out) or "no version"
    if secret.kind.alternates:
        broker = session.manifest.broker
        return (
            f"the idle one of {' and '.join(secret.users)} gets a new password, is proven at {broker.host}:"
            f"{broker.port} and published; then {out}: password scrambled, sessions ended"
        )
    if secret.is_made:
        return f"a new one is made, proven and published; then {out}: {end_of(secret)}"
    return f"you supply a new value, as for secretops put; then {out}: forgotten"


def _readers(session: Session, secret: Secret) -> str:
    if Reader.SERVER not in secret.readers:
        return "none to wait for: only the rotator reads it"
    if secret.kind is SecretKind.MQTT_USER:
        limit = max(session.manifest.grace_seconds, LONGEST_WAIT)
        return f"wait until every server reports the new version, {limit:.0f} s at most"
    return "servers take it by themselves, and report nothing of it"


def _proof(session: Session, secret: Secret) -> str:
    if secret.kind.alternates:
        return "log in by each value that was out: refused"
    if secret.kind is SecretKind.X509 and is_asked_for(session.manifest.broker):
        return "show the broker each certificate that was out; without a revocation it is taken until it ends"
    return "ask the agent by each key that was out" if secret.agent else UNTRIED


def _trail(session: Session, files: tuple[str, ...], since: datetime) -> str:
    start = f"who read it since {since:%Y-%m-%d %H:%M} UTC, from "
    if files:
        return start + ", ".join(files)
    if session.manifest.store.folder or session.platform.query_trail(session.manifest.store):
        return start + "the stack's own trail"
    return f"not known without files: --trail FILE; docs/operations/{session.manifest.store.kind}.md says where from"
