"""The checks that every stack has, on any platform: broker, logins, agent key, certificates, and each secret."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from secretops.check import Repair, Result, attention, judge, ok
from secretops.engine.decisions import Facts, Finding, Reason, findings, grace_end, outdated_replicas, replica_behind
from secretops.engine.journal import Entry
from secretops.engine.ports import NamedKey
from secretops.errors import ExitCode, RefusedError, SecretopsError
from secretops.manifest import ExternalAgent, OwnedAgent, Secret, SecretKind
from secretops.operations import broker as embedded
from secretops.operations.broker_access import replicas_read_as
from secretops.operations.external_certificates import watched
from secretops.operations.rotators import agent_key as owned_key
from secretops.operations.session import Session
from secretops.operations.status import last_failure, lost
from secretops.operations.tick import tick
from secretops.platform import RemoteCommand
from secretops.printable import ScreenedBytes
from secretops.targets import open_target

ORPHANS = "secrets that left"
ANSWER_SECONDS = 5.0

# The tick is hourly: what two of them left undone is stuck. Ticks fail, or do not run.
STUCK_AFTER = timedelta(hours=2)

# How far ahead of this machine's clock the maker of a version may have been.
SKEW = timedelta(seconds=60)

# In what a store reports of delivery drift: the next tick delivers the current version.
BY_A_TICK = "secretops tick"

# A tick's exit codes when the next step is a person's.
A_PERSONS = (ExitCode.WAITING, ExitCode.ATTENTION)

AGENT_RULE = "readers are given a key that the agent takes, and a key that nobody keeps is deleted"


def broker(session: Session) -> Result:
    """Connect to the broker's address. Whether the broker accepts the current user is the check `login`."""
    found = session.manifest.broker
    address = f"{found.host}:{found.port}"
    try:
        socket.create_connection((found.host, found.port), ANSWER_SECONDS).close()
    except OSError as error:
        return attention(
            f"{address}: {error.strerror or type(error).__name__}",
            "put, rotate and tick log in at the broker from where they run",
            "secretops broker start" if found.embedded else "start it, or let this machine reach it",
            Repair("secretops broker start", lambda: embedded.start(session)) if found.embedded else None,
        )
    return ok(f"{address} takes connections")


def login(session: Session, secret: Secret) -> Result:
    """Log in with the current version, and find servers that use an older one past the grace period.

    The only check that reads a value to use it: the store's trail records that read, as it does each tick's.
    """
    name, kind = secret.name, secret.kind
    current = session.store.versions(name).current
    if current is None:
        return ok("no value yet")
    value = session.store.read(name, current.id, purpose="doctor: log in")
    server = kind is SecretKind.MQTT_USER
    try:
        open_target(session.broker, kind).verify(value)
    except RefusedError as error:
        command = f"secretops rotate {name}" if server else f"secretops put {name}, with one that the broker takes"
        return attention(
            f"the broker refuses user {current.user}, whose password is current: {error.what}",
            "what readers are given logs in; somebody changed that user at the broker, or took its rights",
            f"{command}; and find out who changed it",
            rotates(session, name) if server else None,
        )
    reports = replicas_read_as(session, secret, value)
    facts = session.facts(secret, reports or ())
    if late := replica_behind(facts, session.clock()):
        return attention(
            late.message,
            "a server follows a new version within the grace; the user of the old one is retired, and it with it",
            "that server's log says why it does not; start it again",
        )
    moving = f", {len(outdated_replicas(facts))} not yet on {current.id}" if outdated_replicas(facts) else ""
    servers = f"; {len(reports)} servers report{moving}" if reports else ""
    if reports is None and server:
        servers = "; which version servers use is not known"
    return ok(f"user {current.user} logs in{servers}")


def agent_key(session: Session, secret: Secret) -> Result:
    """Check that an owned agent has the current key and no leftover of a crash, or that another agent takes the key."""
    versions = session.store.versions(secret.name)
    if isinstance(secret.agent, OwnedAgent):
        keys = owned_key(session, secret, secret.agent).compare_keys()
        found = [keys.problem] if keys.problem else []
        if keys.leftover:
            found.append(f"keys that a crash left: {', '.join(key.id for key in keys.leftover)}")
        healthy = f"agent {secret.agent.id} has the keys that are kept"
        return judge(found, AGENT_RULE, "secretops tick", healthy, ticks(session))
    if made := [NamedKey.of(one.user) for one in versions.living if one.user]:
        return attention(
            f"secretops made {', '.join(f'key {key.id} of agent {key.agent}' for key in made)}",
            "the stack's agent is not your own any more, and nobody deletes keys of the one before",
            f"secretops put {secret.name} twice, then delete it in DigitalOcean's control panel",
        )
    current = versions.current
    if current is None or current.verified is None:
        return ok("its key was published untested" if current else "no key yet")
    from secretops.targets.digitalocean import verify

    agent = secret.agent or ExternalAgent()
    try:
        verify(agent.url, session.store.read(secret.name, current.id, purpose="doctor: ask the agent"))
    except RefusedError as error:
        return attention(error.what, AGENT_RULE, f"secretops put {secret.name}, with one that the agent takes")
    return ok(f"{agent.url} answers to the key")


def certificates(session: Session) -> Result:
    """Check the certificates that others renew: the broker's, and those that an issuer keeps."""
    seen, now = watched(session), session.clock()
    if found := [finding.message for one in seen if (finding := one.finding(now))]:
        return attention(
            "; ".join(found),
            "a certificate that nobody renews ends every connection on one day",
            "whoever renews it: the broker's operator, or its issuer (docs/operations/certificates.md)",
        )
    if not seen:
        return ok("none in sight but those that secretops keeps")
    first = min(seen, key=lambda one: one.ends)
    return ok(f"{len(seen)} in sight; the first to end is {first.name}, {first.ends:%Y-%m-%d} ({first.source})")


def secret_health(session: Session, secret: Secret) -> Result:
    """Find what is overdue, half-done, failed, expired or made in the future, and delivery drift."""
    facts, now = session.facts(secret), session.clock()
    if gone := lost(session, secret, facts.versions):
        return attention(gone, "a secret that had a value has one until it is replaced", "that page, step by step")
    found, current = findings(facts, now), facts.versions.current
    stuck = [each.message for each in found if _is_stuck(each.reason, facts, now)]
    wrong = [*stuck, *(each.message for each in found if each.needs_a_person), *_made_ahead(facts, now)]
    if drift := session.store.delivery_drift(secret.name):
        wrong.append(drift)
    if failed := last_failure(session, secret, current):
        wrong.append(f"{failed.step} failed {failed.time:%Y-%m-%d %H:%M} UTC: {failed.outcome}")
    is_left = bool(stuck) or BY_A_TICK in (drift or "")
    notes = "; ".join(each.message for each in found)
    return judge(
        wrong,
        "values are rotated on schedule, finished within two ticks, and found by their readers",
        f"secretops tick: it mends what it can, and says of the rest what does ({secret.name})",
        notes or (f"version {current.id}" if current else "no value yet"),
        _repair(session, secret, facts, found, failed, is_left=is_left),
    )


def _repair(
    session: Session, secret: Secret, facts: Facts, found: Sequence[Finding], failed: Entry | None, *, is_left: bool
) -> Repair | None:
    """A tick retries everything except a password that somebody changed: that takes another version."""
    current = facts.versions.current
    if failed and failed.step == "verify" and current and failed.version == current.id:
        return rotates(session, secret.name) if secret.kind is SecretKind.MQTT_USER else None
    late = any(each.reason in (Reason.OVERDUE, Reason.EXPIRED) for each in found)
    return ticks(session) if is_left or (secret.is_made and (late or failed)) else None


def _made_ahead(facts: Facts, now: datetime) -> Iterator[str]:
    """Versions from the future: their times decide what is due and what is safe to retire."""
    for each in facts.versions.all:
        if (ahead := each.created - now) > SKEW:
            yield f"version {each.id} was made {ahead.total_seconds():.0f} s from now: clocks are apart"


def _is_stuck(reason: Reason, facts: Facts, now: datetime) -> bool:
    """Whether a tick should have acted on this long ago."""
    pending, previous = facts.versions.pending, facts.versions.previous
    match reason:
        case Reason.PENDING_LEFT_BEHIND:
            return pending is not None and now > pending.created + STUCK_AFTER
        case Reason.RETIRE_DUE:
            over = grace_end(previous, facts) if previous else None
            return over is not None and now > over + STUCK_AFTER
    return False


def orphaned_values(session: Session) -> Result:
    """Find values of secrets that left the stack: readers still find them, and nothing rotates them."""
    left = session.left()
    return judge(
        [f"values of {', '.join(left)} are still kept and readable"] if left else [],
        "a secret that left the stack is rotated by nobody; its values go when a person says so",
        "; ".join(f"secretops purge {name} --destroy" for name in left),
        "none has a value left",
    )


def ticks(session: Session) -> Repair:
    """Finish, deliver, retire and rotate, as the schedule does every hour."""
    return Repair("secretops tick: finish, deliver and retire what is left over", lambda: _tick(session))


def rotates(session: Session, name: str) -> Repair:
    """Publish a new version on the idle user. The refused one stays as it is."""
    words = f"secretops rotate {name}: a new password for the idle user, proven, then published"
    return Repair(words, lambda: _rotate(session, name))


def _tick(session: Session) -> str:
    if remote := session.platform.remote_command(session.manifest):
        return _run(remote, ("tick",), well=(ExitCode.DONE, *A_PERSONS))
    outcomes = tick(session)
    done = "; ".join(f"{one.secret}: {', '.join(one.done)}" for one in outcomes if one.done)
    failed = [one for one in outcomes if one.error and one.error.exit_code not in A_PERSONS]
    if failed:
        raise SecretopsError(
            "; ".join(f"{one.secret}: {one.error.what}" for one in failed if one.error),
            rule=f"a tick looks after each secret by itself; of the others it did: {done or 'nothing'}",
            remedy="secretops tick says it in full",
        )
    errors = ((one.secret, (one.error.what,) if one.error else one.attention) for one in outcomes)
    left = "; ".join(f"{secret}: {', '.join(what)}" for secret, what in errors if what)
    return "; ".join(filter(None, (done, left and f"left for a person: {left}"))) or "nothing was left to do"


def _rotate(session: Session, name: str) -> str:
    if remote := session.platform.remote_command(session.manifest):
        return _run(remote, ("rotate", name), well=(ExitCode.DONE,))
    from secretops.operations.rotate import rotate

    version = rotate(session, name, force=False, notify=lambda _: None)
    return f"{name}: published {version.id}"


def _run(remote: RemoteCommand, command: Sequence[str], *, well: Sequence[ExitCode]) -> str:
    """Run it where values can be read. Its output goes to standard error."""
    code = remote(command, out=ScreenedBytes(sys.stderr))
    if code not in well:
        raise SecretopsError(
            f"secretops {' '.join(command)} ended with {code}",
            rule="it ran where the values can be read, and printed why",
            remedy="repair what it printed, then run secretops doctor again",
        )
    left = "" if code == ExitCode.DONE else ", and printed what is left for a person"
    return f"secretops {' '.join(command)} ran where the values can be read{left}"
