"""The response plan for an incident, the manual steps, and checks that an old value is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from secretops.engine.state import Versions
from secretops.errors import RefusedError, SecretopsError, UnreachableError, WaitingError
from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, ExternalAgent, Manifest, OwnedAgent, Secret, SecretKind
from secretops.operations.certificate import prove, requires_certificate
from secretops.operations.compromise.incident import Incident, Step, files_of
from secretops.operations.rotate import MAX_WAIT_SECONDS
from secretops.operations.session import Session
from secretops.platform import platform_of
from secretops.targets import open_agent
from secretops.values import Value

CHECK_USERS = "check the broker's users and rights: the exposed admin may have created users or rights"

CHECK_KEYS = "check the agent's keys: somebody may have created keys with the exposed token"

MUST_BE_REFUSED = "the target must refuse the compromised credential before the incident ends"

UNTESTED = "this stack cannot test whether the old value is refused"

# Seconds between tests of a deleted key: DigitalOcean takes a while to refuse it.
RETRY_PAUSES = (2.0, 4.0, 8.0, 16.0)


def describe_end(secret: Secret) -> str:
    if secret.kind is SecretKind.CA:
        return "its key is deleted"
    if secret.kind is SecretKind.X509:
        return "the key is deleted; the certificate is valid until it expires or is revoked"
    return "the agent's key is deleted" if isinstance(secret.agent, OwnedAgent) else "its value is deleted"


def is_testable(secret: Secret) -> bool:
    return secret.kind.alternates or secret.kind is SecretKind.X509 or secret.agent is not None


def manual_steps(secret: Secret, incident: Incident) -> list[str]:
    """Return the steps that a person must do, such as to revoke the value at its issuer."""
    match secret.kind:
        case SecretKind.MQTT_USER:
            return _own_users(secret, incident)
        case SecretKind.BROKER_ADMIN:
            return [CHECK_USERS, *_own_users(secret, incident)]
        case SecretKind.X509:
            serials = [f"serial {one.serial}" for one in incident.exposed if one.serial]
            return [_revoke(secret, serial) for serial in serials or ["of the previous version"]]
        case SecretKind.CA:
            return [
                "replace the certificates that the old CA signed: secretops compromise client-cert",
                "then install at the broker the CAs that `secretops trust` prints, and restart the broker",
            ]
        case SecretKind.AGENT_KEY if secret.is_made:
            theirs = any(not one.user for one in incident.exposed)
            use = "check in DigitalOcean's console what the agent was used for"
            return ["delete the key that secretops did not create", use] if theirs else [use]
        case _:
            return _revoke_value(secret)


def _revoke_value(secret: Secret) -> list[str]:
    if (secret.name, *secret.fields) == HTTP_TOKEN:
        from secretops.launcher.http_options import OVERLAP

        restart = f"restart each server once it has the new token: it accepts the old token for {OVERLAP} s more"
        return ["give clients the new token", restart]
    revoke = f"revoke the old {secret.name} where it was issued: until then the value is valid"
    return [revoke, CHECK_KEYS] if secret.name == AGENT_ADMIN[0] else [revoke]


def _own_users(secret: Secret, incident: Incident) -> list[str]:
    users = dict.fromkeys(one.user for one in incident.exposed if one.user and one.user not in secret.users)
    steps = [f"set a new password of your user {user}: this incident gives it a random password" for user in users]
    steps += [f"set a new password of your user {user}: the store had its password" for user in incident.retired_users]
    if incident.taken_over:
        users_taken = " and ".join(incident.taken_over)
        steps.append(
            f"rotate other stacks that use {users_taken}: these users get new passwords if the broker has them"
        )
    return steps


def newer_versions(secret: Secret, incident: Incident, versions: Versions) -> list[str]:
    """Return a manual step for each generated version that another command made since the incident began."""
    return [
        f"another command, or this one before it was killed, made version {each.id} on "
        f"{each.created:%Y-%m-%d %H:%M:%S} UTC, and this incident does not revoke it: find out whether it is "
        f"compromised; if so: secretops compromise {secret.name} --new"
        for each in versions.living
        if secret.is_made
        and each.id not in {*incident.known, *incident.made}
        and (not secret.kind.alternates or each.user in secret.users)
    ]


def created_keys(session: Session, secret: Secret) -> list[str]:
    """Return manual steps for agent keys that somebody may have created with the exposed token `secret`."""
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
        return [f"check the agent's keys, which could not be listed: {error.what}"]
    return [f"delete this agent key, unless you know it; secretops did not create it: {one}" for one in theirs]


def _revoke(secret: Secret, which: str) -> str:
    if secret.issuer and not secret.issuer.revocation:
        return (
            f"certificate {which} is valid until it expires; a new CA invalidates the certificate: secretops "
            "compromise client-ca"
        )
    how = secret.issuer.revocation if secret.issuer else "at its issuer"
    return f"revoke certificate {which} ({how}), and install the revocation list at the broker"


def try_value(
    session: Session, secret: Secret, version: str, value: Value, *, sleep: Callable[[float], None]
) -> tuple[str, bool]:
    """Test whether an old value is refused. Return the result as a text, and whether the test had an answer. Without an
    answer, a person must check.

    Raises UnreachableError, SecretopsError.
    """
    if secret.kind is SecretKind.X509:
        return _try_certificate(session, secret, version, value)
    return _try_key(secret, secret.agent, value, sleep) if secret.agent else (UNTESTED, True)


def _try_certificate(session: Session, secret: Secret, version: str, value: Value) -> tuple[str, bool]:
    # If the old certificate fails, the new one is tested, then the old one again: both fail without a network.
    if not requires_certificate(session.manifest.broker):
        return "not testable: the broker requires no certificate", True
    store = session.store
    failure = _failure(session, version, value)
    if failure and not isinstance(failure, RefusedError) and (current := store.versions(secret.name).current):
        new = store.read(secret.name, current.id, purpose="test whether it is accepted")
        if not_accepted := _failure(session, current.id, new):
            return f"not tested: the broker does not accept the new certificate either: {not_accepted.what}", False
        failure = _failure(session, version, value)
        if failure and not isinstance(failure, RefusedError):
            return "the broker refuses the old certificate, and accepts the new one", True
    if failure:
        return f"not tested: {failure.what}", False
    return "the broker accepts the certificate until it expires or is revoked", True


def _failure(session: Session, version: str, value: Value) -> SecretopsError | None:
    try:
        prove(session.manifest, session.store, version, value)
    except (RefusedError, UnreachableError, WaitingError) as error:
        return error
    return None


def _try_key(
    secret: Secret, agent: ExternalAgent | OwnedAgent, value: Value, sleep: Callable[[float], None]
) -> tuple[str, bool]:
    from secretops.targets.digitalocean import verify

    for pause in (*RETRY_PAUSES, 0.0):
        try:
            verify(agent.url, value)
        except RefusedError:
            return "the agent refuses the key", True
        except UnreachableError as error:
            return f"not tested: {error.what}", False
        if isinstance(agent, ExternalAgent):
            return "the agent accepts the key until it is deleted where it was issued", True
        sleep(pause)
    raise SecretopsError(
        f"{secret.name}: the agent still accepts a deleted key",
        rule=MUST_BE_REFUSED,
        remedy="check in DigitalOcean's console that the key is deleted; then run this command again",
        code="credential-still-accepted",
    )


def cost(manifest: Manifest, secret: Secret, incident: Incident) -> str:
    if Step.REPLACE in incident.done:
        return "A new value is published already."
    service = "broker" if secret.kind is SecretKind.MQTT_USER else "agent"
    if service == "broker" or isinstance(secret.agent, OwnedAgent):
        return (
            f"Servers lose the {service} until they have the new value: {platform_of(manifest.store).delivery_delay}."
        )
    return "Servers are not interrupted."


def plan(session: Session, secret: Secret, incident: Incident, *, folder: Path, files: tuple[str, ...]) -> list[str]:
    """Return lines that describe the remaining steps of `incident`. Changes nothing, and reads no value."""
    for_programs, for_people = files_of(incident, folder)
    manifest, alternates = session.manifest, secret.kind.alternates
    done = f"; continued, done: {', '.join(incident.done) or 'nothing'}" if incident.attempts else ""
    exposed = ", ".join(f"{one.id}{f' of {one.user}' if one.user else ''}" for one in incident.exposed) or "no version"
    replace = f"create, test and publish a new value; then {exposed}: {describe_end(secret)}"
    proof = "test each old key at the agent" if secret.agent else UNTESTED
    if alternates:
        replace = (
            f"set a new password of the idle user ({' or '.join(secret.users)}), test it at {manifest.broker.host}:"
            f"{manifest.broker.port} and publish it; then {exposed}: scramble the password, end the sessions"
        )
        proof = "log in with each old value, which the broker must refuse"
    elif not secret.is_made:
        replace = f"publish the new value that you supply; then {exposed}: delete the value"
    if secret.kind is SecretKind.X509 and requires_certificate(manifest.broker):
        proof = "connect with each old certificate; the broker accepts it until it expires or is revoked"
    readers = "no server to wait for: no server reports its version of this secret"
    if secret.kind is SecretKind.MQTT_USER:
        limit = max(manifest.grace_seconds, MAX_WAIT_SECONDS)
        readers = f"wait until every server reports the new version, at most {limit:.0f} s"
    source = ", ".join(files) or f"no log: pass --trail FILE; see docs/operations/{manifest.store.kind}.md"
    if not files and (manifest.store.folder or session.platform.query_trail(manifest.store)):
        source = "the stack's own trail"
    price = cost(manifest, secret, incident)
    trail = f"report who read the secret since {incident.since:%Y-%m-%d %H:%M} UTC, from {source}"
    steps = {
        Step.FREEZE: f"hold the lease of store {incident.store} until {Step.PROOF} ends: other commands exit with 4",
        Step.REPLACE: replace,
        **({Step.BOTH_SLOTS: "set a new password of the other user, too"} if alternates else {}),
        Step.PROOF: proof,
        Step.READERS: readers,
        Step.TRAIL: trail,
    }
    return [
        f"incident: stack {manifest.stack}, files {for_programs} and {for_people.name}{done}",
        *(f"{step}: {text}" for step, text in steps.items() if step is Step.FREEZE or step not in incident.done),
        f"cost: {price[0].lower()}{price[1:]}",
        *(f"action needed: {text}" for text in dict.fromkeys((*incident.to_do, *manual_steps(secret, incident)))),
    ]
