"""Publishes a value that an operator supplies, after a test where there is one."""

from __future__ import annotations

import contextlib
import unicodedata
import uuid
from collections.abc import Callable
from datetime import datetime

from secretops import certificates
from secretops.engine.decisions import retire_due
from secretops.engine.ports import NamedKey
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, Manifest, OwnedAgent, Secret, SecretKind
from secretops.operations.broker_access import hint
from secretops.operations.certificate import is_asked_for, prove
from secretops.operations.rotators import rotation
from secretops.operations.session import Session, emergency
from secretops.stores import env_file
from secretops.targets import open_agent, open_target
from secretops.values import Value

# Kinds with fields that travel in a header or a command. Their libraries quote a field that does not fit in an error.
ONE_LINE = frozenset({SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN, SecretKind.AGENT_KEY})

NO_ANSWER = "from where no answer can be had, secretops put {} --untested"

# Bytes. MQTT's limit of a user name and of a password (MQTT 5.0, 1.5.4 and 1.5.6).
LONGEST_CREDENTIAL = 65_535

# Bytes. Apache refuses a header line of more than 8,190 (LimitRequestFieldSize); its name and "Bearer " are a part.
LONGEST_KEY = 8_000


def put(
    session: Session,
    name: str,
    value: Value,
    *,
    force: bool = False,
    untested: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> Version:
    """Make `value` the current version of `name`. Keeps nothing if it does not fit or does not log in.

    `force` retires the previous version's user now, and sets broken files of the store aside: `notify` gets a line for
    each. `untested` publishes without a test. Raises UsageError for fields that do not fit, RefusedError,
    UnreachableError, StoreError, GraceError, WaitingError, LeaseHeldError.
    """
    secret = session.secret(name)
    if secret.kind is SecretKind.CA or isinstance(secret.agent, OwnedAgent):
        rule = "a CA of the stack's own is made by secretops, and its key is nowhere else"
        if secret.agent:
            rule = "keys of an agent of one's own are made by secretops, which deletes them once they are replaced"
        raise UsageError(f"{name}: nobody supplies it", rule=rule, remedy=f"secretops rotate {name} makes the next one")
    if untested:
        check_untested(session.manifest, secret)
    check_fields(secret, value)
    command = f"put {name}"
    with emergency(session, secret, command) if force else session.lease(command) as set_aside:
        for line in set_aside or ():
            notify(line)
        return supply(session, secret, value, force=force, untested=untested)


def supply(session: Session, secret: Secret, value: Value, *, force: bool = False, untested: bool = False) -> Version:
    """Test and publish a value with fields that fit, under a lease that the caller holds. Raises as `put`."""
    expires = check_certificate(secret, value, session.clock()) if secret.kind is SecretKind.X509 else None
    proven = not untested and (_taken(session, secret, value) or _answered_to(session, secret, value))
    if secret.kind.alternates:
        _make_room(session, secret, value, force=force)
    before = session.store.versions(secret.name)
    version = publish(session, secret, value, verified=proven or secret.kind.alternates, expires=expires)
    if force and secret.kind.alternates:
        rotation(session, secret).scramble_unknown(before, version)
    return version


def _answered_to(session: Session, secret: Secret, value: Value) -> bool:
    """Test an agent's key, or the token that keys are made with. False for another secret. Raises as `put`."""
    from secretops.targets.digitalocean import verify

    key = session.manifest.of_kind(SecretKind.AGENT_KEY)
    agent = key.agent if key else None
    try:
        if secret.agent:
            verify(secret.agent.url, value)
        elif secret.name == AGENT_ADMIN[0] and isinstance(agent, OwnedAgent):
            keys = open_agent(agent, lambda: value)
            keys.list_keys()
            with contextlib.suppress(UnreachableError):  # there is no such key: only a refusal tells
                keys.delete(NamedKey(agent.id, str(uuid.uuid4()), ""))
        else:
            return False
    except UnreachableError as error:
        raise UnreachableError(
            f"{secret.name} could not be tested: {error.what}",
            rule="it is published once it was answered to; the current one was not touched",
            remedy=f"try again; {NO_ANSWER.format(secret.name)}",
        ) from error
    return True


def publish(
    session: Session, secret: Secret, value: Value, *, verified: bool = False, expires: datetime | None = None
) -> Version:
    """Make a supplied value the current version, under a lease that the caller holds.

    Raises StoreError: then the version is discarded, or, if it is current, a tick delivers it.
    """
    now = session.clock()
    version = Version(
        id=new_token(now),
        stage=Stage.PENDING,
        created=now,
        user=value["username"] if secret.kind.alternates else None,
        verified=now if verified else None,
        expires=expires,
    )
    session.store.add(secret.name, version, value)
    try:
        session.store.publish(secret.name, version.id, now)
    except SecretopsError as error:
        current = session.store.versions(secret.name).current
        if current and current.id == version.id:
            raise StoreError(
                f"{secret.name}: {version.id} is the current version, and not yet delivered to its readers",
                rule=error.what,
                remedy="mend that; then `secretops tick` delivers it",
            ) from error
        session.store.discard(secret.name, version.id)
        raise
    hint(session, secret, version.id)
    return version.at(stage=Stage.CURRENT, published=now)


def _make_room(session: Session, secret: Secret, value: Value, *, force: bool) -> None:
    """Test a broker user's value, and retire the previous version, which the store forgets with the next one.

    A new admin acts itself: the one in the store may be broken.
    """
    made = rotation(session, secret, admin=value if secret.kind is SecretKind.BROKER_ADMIN else None)
    if not force:
        made.respect_grace()
    open_target(session.broker, secret.kind).verify(value)
    facts = session.facts(secret, versions=made.versions)
    previous = facts.versions.previous
    if previous is None or previous.retired or previous.user == value["username"]:
        return
    if force or retire_due(facts, session.clock()):
        made.retire(previous)


def check_fields(secret: Secret, value: Value) -> None:
    """Raise UsageError for fields that do not fit, or that their readers can't take."""
    if missing := [field for field in secret.fields if not value.get(field, "").strip()]:
        raise UsageError(
            f"{secret.name}: no {', '.join(missing)}",
            rule=f"a value of {secret.name} has the fields {', '.join(secret.fields)}, and none of them is blank",
            remedy="answer every prompt, or give all of them on standard input as one JSON object",
        )
    if extra := [field for field in value if field not in secret.fields]:
        raise UsageError(
            f"{secret.name}: {', '.join(extra)}",
            rule=f"a value of {secret.name} has the fields {', '.join(secret.fields)} and no others",
            remedy="leave them out",
        )
    if (secret.name, *secret.fields) == HTTP_TOKEN:  # the launcher would refuse it after clients have it
        from secretops.launcher.http_options import check_token

        check_token(value["token"])
    for field, text in value.items():
        env_file.check_text(f"{secret.name}.{field}", text)
        one_line = secret.kind in ONE_LINE or (secret.name, field) == AGENT_ADMIN
        if one_line and any(unicodedata.category(each) == "Cc" for each in text):
            raise UsageError(
                f"{secret.name}.{field}: a control character, such as the newline at the end of a file",
                rule="it is one line: what carries it would refuse it, and quote it in its error",
                remedy="leave it out, for example: tr -d '\\r\\n' < FILE | secretops put …",
            )
        limit = LONGEST_CREDENTIAL if secret.kind.alternates else LONGEST_KEY
        if one_line and (size := len(text.encode())) > limit:
            raise UsageError(
                f"{secret.name}.{field}: {size} bytes",
                rule=f"what carries it takes {limit} bytes at most; nothing was published",
                remedy=f"secretops put {secret.name}, with the credential alone and not the file around it",
            )


def check_untested(manifest: Manifest, secret: Secret) -> None:
    """Raise UsageError where a value of `secret` can't be published untested."""
    tried = frozenset({SecretKind.X509, SecretKind.AGENT_KEY})
    if secret.kind in tried or secret.name == AGENT_ADMIN[0]:
        return
    known = [one.name for one in manifest.secrets if one.kind in tried and not one.is_made]
    raise UsageError(
        f"{secret.name}: --untested",
        rule="it is for what an agent is asked about, or a broker is shown: a login is tried always",
        remedy=f"leave it out; it is for {', '.join(known)}" if known else "leave it out",
    )


def check_certificate(secret: Secret, value: Value, now: datetime) -> datetime:
    """Return when the certificate or the first of its chain ends. Raises UsageError with all that is wrong with it."""
    if found := list(certificates.check_supplied(value, now)):
        raise UsageError(
            f"{secret.name}: {'; '.join(flaw.what for flaw in found)}",
            rule="\n".join(dict.fromkeys(flaw.rule for flaw in found)),
            remedy="give what your CA gave you: --file client.crt=PATH --file client.key=PATH; nothing was published",
        )
    return min(one.not_valid_after_utc for one in certificates.load_certificates(value["client.crt"]))


def _taken(session: Session, secret: Secret, value: Value) -> bool:
    """Test a certificate at the broker. False for another secret, or if the broker requires none."""
    broker = session.manifest.broker
    if secret.kind is not SecretKind.X509 or not is_asked_for(broker):
        return False
    try:
        prove(session.manifest, session.store, new_token(session.clock()), value)
    except UnreachableError as error:
        raise UnreachableError(
            error.what, rule=error.rule, remedy=f"{error.remedy}; {NO_ANSWER.format(secret.name)}"
        ) from error
    return True
