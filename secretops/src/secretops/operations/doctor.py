"""Check a deployed stack: store, broker, secrets. Changes nothing: repairs run separately, on request."""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import cache, partial

from secretops.check import Check, Level, Repair, Result, attention, judge, ok, unknown
from secretops.engine.decisions import Facts, Finding, Reason, findings, grace_end, outdated_replicas, replica_behind
from secretops.engine.ports import NamedKey
from secretops.errors import ExitCode, RefusedError, SecretopsError, unexpected
from secretops.formats import counted
from secretops.manifest import ExternalAgent, OwnedAgent, Secret, SecretKind
from secretops.operations import broker as embedded
from secretops.operations import external_certificates
from secretops.operations.broker_access import replicas_read_as
from secretops.operations.rotate import rotate
from secretops.operations.rotators import agent_key as owned_key
from secretops.operations.session import Session
from secretops.operations.status import failure_note, last_failure, lost
from secretops.operations.tick import tick
from secretops.platform import RemoteCommand
from secretops.printable import ScreenedBytes
from secretops.stores.store_errors import NOT_DELIVERED
from secretops.targets import open_target

# Name of the check for secrets that were removed from the stack.
ORPHANS = "orphaned values"
ANSWER_SECONDS = 5.0

# Work that two hourly ticks did not finish is stuck: ticks fail, or do not run.
STUCK_AFTER = timedelta(hours=2)

# Tolerated lead of the clock on the machine that created a version.
SKEW = timedelta(seconds=60)

# Exit codes of a tick after which a person must act.
NEEDS_A_PERSON = (ExitCode.WAITING, ExitCode.ATTENTION)

AGENT_RULE = "the agent must accept the current key, and keys that no version has must be deleted"

# Name of a check, and its result.
Examined = tuple[str, Result]


def doctor(checks: Sequence[Check]) -> Iterator[Examined]:
    """Yield each check's name and result: UNKNOWN if the check raises an error."""
    for check in checks:
        try:
            yield check.name, check.run()
        except SecretopsError as error:
            yield check.name, Result.of(error, Level.UNKNOWN)
        except Exception as error:  # a defect of this check alone; its text may contain anything
            yield check.name, Result.of(unexpected(check.name, error), Level.UNKNOWN)


def repairs(examined: Sequence[Examined]) -> list[Repair]:
    return list(dict.fromkeys(result.repair for _, result in examined if result.repair))


def run_repair(repair: Repair) -> str | SecretopsError:
    """Run a repair. Return what was done, or why it failed."""
    try:
        return repair.run()
    except SecretopsError as error:
        return error
    except Exception as error:  # a defect of this repair alone; its text may contain anything
        return unexpected(repair.description, error)


def exit_code(examined: Sequence[Examined]) -> ExitCode:
    return ExitCode.DONE if all(result.level is Level.OK for _, result in examined) else ExitCode.ATTENTION


def checks(session: Session) -> list[Check]:
    """Return the checks of the platform, then those that all stacks have. Raises UsageError."""
    platform, secrets = session.platform, session.manifest.secrets
    of_store = platform.checks(session, ticks(session))

    of_broker = cache(partial(broker, session))

    def check(name: str, look: Callable[..., Result], *secret: Secret, needs_broker: bool = False) -> Check:
        def reach_and_look() -> Result:
            of_store.reach()
            if needs_broker and of_broker().level is not Level.OK:
                return unknown(
                    "requires the broker", "the check `broker` must be ok", "follow the remedy of the check `broker`"
                )
            return look(session, *secret)

        return Check(name, reach_and_look)

    found = [*of_store.checks]
    if not platform.remote_command(session.manifest):  # else each tick tests the broker, from where it is reachable
        found.append(Check("broker", of_broker))
        found += [check(f"login {one.name}", login, one, needs_broker=True) for one in secrets if one.kind.alternates]
        key = session.manifest.of_kind(SecretKind.AGENT_KEY)
        found += [check("agent", agent_key, key)] if key and key.agent else []
    found.append(check(external_certificates.NAME, certificates))
    found += [check(f"secret {one.name}", secret_health, one) for one in secrets]
    return [*found, check(ORPHANS, orphaned_values)] if platform.lists_orphans else found


def broker(session: Session) -> Result:
    found = session.manifest.broker
    address = f"{found.host}:{found.port}"
    try:
        socket.create_connection((found.host, found.port), ANSWER_SECONDS).close()
    except OSError as error:
        value = f"{address}: {error.strerror or type(error).__name__}"
        remedy = (
            "secretops broker start"
            if found.embedded
            else "start the broker, or allow connections from this machine to the broker"
        )
        repair = Repair("secretops broker start", lambda: embedded.start(session)) if found.embedded else None
        return attention(
            value, "this machine must reach the broker: put, rotate and tick connect to the broker", remedy, repair
        )
    other = embedded.other_listener(found) if found.embedded else None
    return Result.of(other) if other else ok(f"{address} accepts connections")


def login(session: Session, secret: Secret) -> Result:
    """Check that the current version can log in, and that no server still uses an older version after the grace
    period."""
    name, is_server = secret.name, secret.kind is SecretKind.MQTT_USER
    current = session.store.versions(name).current
    if current is None:
        return ok("no value yet")
    value = session.store.read(name, current.id, purpose="doctor: log in")
    try:
        open_target(session.broker, secret.kind).verify(value)
    except RefusedError as error:
        wrong = f"the broker refuses user {current.user}, whose password is current: {error.what}"
        rule = "a login with the current version must succeed; somebody changed this user or its rights at the broker"
        command = f"secretops rotate {name}" if is_server else f"secretops put {name}, with a valid credential"
        repair = rotates(session, name) if is_server else None
        return attention(wrong, rule, f"{command}; and find out who changed the user", repair)
    reports = replicas_read_as(session, secret, value)
    facts = session.facts(secret, reports or ())
    if late := replica_behind(facts, session.clock()):
        rule = "a server must use the new version within the grace period: the user of the old version is retired"
        return attention(late.message, rule, "read this server's log, and restart it")
    moving = f", {len(outdated_replicas(facts))} not yet on {current.id}" if outdated_replicas(facts) else ""
    servers = f"; {counted(len(reports), 'server reports', 'servers report')}{moving}" if reports else ""
    if reports is None and is_server:
        servers = "; which version servers use is unknown"
    return ok(f"user {current.user} logs in{servers}")


def agent_key(session: Session, secret: Secret) -> Result:
    """Check the keys of an owned agent. For an external agent, report keys left from when the stack owned it; if there
    are none, test the current key if it was verified."""
    versions = session.store.versions(secret.name)
    if isinstance(secret.agent, OwnedAgent):
        keys = owned_key(session, secret, secret.agent).compare_keys()
        found = [keys.problem] if keys.problem else []
        if keys.leftover:
            found.append(f"keys left by a crash: {', '.join(key.id for key in keys.leftover)}")
        healthy = f"agent {secret.agent.id} has the keys of the stored versions"
        return judge(found, AGENT_RULE, "secretops tick", healthy, ticks(session))
    if made := [NamedKey.of(one.user) for one in versions.living if one.user]:
        value = f"secretops created {', '.join(f'key {key.id} of agent {key.agent}' for key in made)}"
        remedy = f"secretops put {secret.name} twice, then delete these keys in DigitalOcean's control panel"
        return attention(
            value,
            "these keys must be deleted: the stack no longer owns this agent, so secretops does not delete them",
            remedy,
        )
    current = versions.current
    if current is None or current.verified is None:
        return ok(f"untested; to test it: secretops put {secret.name}" if current else "no key yet")
    from secretops.targets.digitalocean import verify

    agent = secret.agent or ExternalAgent()
    try:
        verify(agent.url, session.store.read(secret.name, current.id, purpose="doctor: test the agent key"))
    except RefusedError as error:
        return attention(error.what, AGENT_RULE, f"secretops put {secret.name}, with a valid key")
    return ok(f"{agent.url} accepts the key")


def certificates(session: Session) -> Result:
    found, now = external_certificates.find(session), session.clock()
    if wrong := [finding.message for one in found if (finding := one.finding(now))]:
        rule = "each certificate must be trusted and valid: otherwise no connection is possible"
        remedy = "the broker's operator or the issuer must renew the certificate (docs/operations/certificates.md)"
        return attention("; ".join(wrong), rule, remedy)
    if not found:
        return ok("no certificates, except those that secretops renews")
    first = min(found, key=lambda one: one.ends)
    return ok(f"{len(found)} found; the first to expire is {first.name}, {first.ends:%Y-%m-%d} ({first.source})")


def secret_health(session: Session, secret: Secret) -> Result:
    facts, now = session.facts(secret), session.clock()
    if gone := lost(session, secret, facts.versions):
        rule = "the store must keep a value until it is replaced"
        return attention(gone, rule, "follow docs/operations/lost-store.md")
    found, current = findings(facts, now), facts.versions.current
    stuck = [each.message for each in found if _is_stuck(each.reason, facts, now)]
    wrong = [*stuck, *(each.message for each in found if each.needs_a_person)]
    for each in facts.versions.all:  # creation times decide what is due, and what can be retired
        if (ahead := each.created - now) > SKEW:
            wrong.append(f"version {each.id} was created {ahead.total_seconds():.0f} s in the future: clock skew")
    if drift := session.store.delivery_drift(secret.name):
        wrong.append(drift)
    repair = None
    if failed := last_failure(session, secret, current):
        wrong.append(failure_note(secret, failed, current))
    if failed and failed.step == "verify" and current and failed.version == current.id:
        # Only a new version helps after an out-of-band password change.
        repair = rotates(session, secret.name) if secret.kind is SecretKind.MQTT_USER else None
    elif stuck or drift == NOT_DELIVERED or (secret.is_made and (failed or _is_late(found))):
        repair = ticks(session)
    rule = "values must be rotated on schedule, published within two ticks, and delivered to their readers"
    remedy = f"secretops tick, which repairs what it can, and prints a remedy for the rest of {secret.name}"
    # Messages about a missing value contain a remedy, so the text of a healthy secret omits them.
    later = [each.message for each in found if each.reason not in (Reason.AWAITS_FIRST_VALUE, Reason.NEVER_ROTATED)]
    healthy = "; ".join(later) or (f"version {current.id}" if current else "no value yet")
    return judge(wrong, rule, remedy, healthy, repair)


def _is_late(found: Sequence[Finding]) -> bool:
    return any(each.reason in (Reason.OVERDUE, Reason.EXPIRED) for each in found)


def _is_stuck(reason: Reason, facts: Facts, now: datetime) -> bool:
    pending, previous = facts.versions.pending, facts.versions.previous
    if reason is Reason.PENDING_LEFT_BEHIND:
        return pending is not None and now > pending.created + STUCK_AFTER
    over = grace_end(previous, facts) if previous and reason is Reason.RETIRE_DUE else None
    return over is not None and now > over + STUCK_AFTER


def orphaned_values(session: Session) -> Result:
    orphans = session.orphans()
    wrong = [f"{', '.join(orphans)}: stored and readable, but not in the stack"] if orphans else []
    remedy = "; ".join(f"secretops purge {name} --destroy" for name in orphans)
    return judge(
        wrong, "a stored secret must be declared in the stack: undeclared secrets are never rotated", remedy, "none"
    )


def ticks(session: Session) -> Repair:
    return Repair("secretops tick: finish, deliver, retire and rotate what is due", lambda: _tick(session))


def rotates(session: Session, name: str) -> Repair:
    words = f"secretops rotate {name}: set a new password of the idle user, test and publish it"
    return Repair(words, lambda: _rotate(session, name))


def _tick(session: Session) -> str:
    if remote := session.platform.remote_command(session.manifest):
        return _run(remote, ("tick",), accepted=(ExitCode.DONE, *NEEDS_A_PERSON))
    outcomes = tick(session)
    done = "; ".join(f"{one.secret}: {', '.join(one.done)}" for one in outcomes if one.done)
    if failed := [one for one in outcomes if one.error and one.error.exit_code not in NEEDS_A_PERSON]:
        why = "; ".join(f"{one.secret}: {one.error.what}" for one in failed if one.error)
        rule = f"a tick must succeed for every secret; this tick has done: {done or 'nothing'}"
        what, remedy = f"secretops tick failed: {why}", "for the whole text of each error: secretops tick"
        raise SecretopsError(what, rule=rule, remedy=remedy, code="tick-failed")
    errors = ((one.secret, (one.error.what,) if one.error else one.attention) for one in outcomes)
    left = "; ".join(f"{secret}: {', '.join(what)}" for secret, what in errors if what)
    return "; ".join(filter(None, (done, left and f"action needed: {left}"))) or "nothing to do"


def _rotate(session: Session, name: str) -> str:
    if remote := session.platform.remote_command(session.manifest):
        return _run(remote, ("rotate", name), accepted=(ExitCode.DONE,))
    return f"{name}: published {rotate(session, name, force=False, notify=lambda _: None).id}"


def _run(remote: RemoteCommand, command: Sequence[str], *, accepted: Sequence[ExitCode]) -> str:
    code, text = remote(command, out=ScreenedBytes(sys.stderr)), f"secretops {' '.join(command)}"
    if code not in accepted:
        what, rule = (
            f"{text} exited with {code}",
            "a repair must succeed; the output of this command, above, has the reason",
        )
        raise SecretopsError(
            what,
            rule=rule,
            remedy="correct the cause in that output, then: secretops doctor --repair",
            code="repair-command-failed",
        )
    needed = "" if code == ExitCode.DONE else "; action needed, see the command's output"
    return f"{text} ran where the values can be read{needed}"
