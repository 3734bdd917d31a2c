"""An operator supplies a value: it is tested where it can be, then published."""

from __future__ import annotations

import contextlib
import unicodedata
import uuid
from collections.abc import Callable
from datetime import datetime

from secretops import certificate_checks
from secretops.engine.decisions import retire_due
from secretops.engine.ports import NamedKey
from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, Manifest, OwnedAgent, Secret, SecretKind
from secretops.operations.certificate import is_asked_for, prove
from secretops.operations.session import Session
from secretops.stores import env_file
from secretops.targets import open_agent, open_target
from secretops.values import Value

ONE_LINE = frozenset({SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN, SecretKind.AGENT_KEY})
"""Kinds whose fields travel in a header or a command, and whose libraries quote what does not fit in their errors."""

# Bytes. MQTT's limit of a user name and of a password (MQTT 5.0, 1.5.4 and 1.5.6).
LONGEST_CREDENTIAL = 65_535

# Bytes. Apache refuses a header line of more than 8,190 (LimitRequestFieldSize); its name and "Bearer " are a part.
LONGEST_KEY = 8_000


def put(
    session: Session,
    name: str,
    value: Value,
    *,
    cut_off: bool = False,
    untested: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> Version:
    """Make `value` the current version of `name`. Nothing is kept when it does not log in or is not what it has to be.

    With `cut_off` the readers of the version before the current one have no grace: its user is retired now. Broken
    files of the store are set aside then: `notify` gets a line for each. `untested`
    is for an agent, or a broker that asks for a certificate, which is not reached from here: what it would be shown is
    published all the same.

    Raises UsageError for fields that do not fit, RefusedError, UnreachableError, StoreError, GraceError, WaitingError,
    LeaseHeldError.
    """
    secret = session.secret(name)
    if secret.kind is SecretKind.CA:
        raise UsageError(
            f"{name}: nobody supplies it",
            rule="a CA of the stack's own is made by secretops, and its key is nowhere else",
            remedy=f"secretops rotate {name} makes the next one",
        )
    if isinstance(secret.agent, OwnedAgent):
        raise UsageError(
            f"{name}: nobody supplies it",
            rule="keys of an agent of one's own are made by secretops, which deletes them once they are replaced",
            remedy=f"secretops rotate {name} makes the next one",
        )
    if untested:
        check_untested(session.manifest, secret)
    check_fields(secret, value)
    command = f"put {name}"
    with session.emergency(secret, command) if cut_off else session.lease(command) as set_aside:
        for line in set_aside or ():
            notify(line)
        return supply(session, secret, value, cut_off=cut_off, untested=untested)


def supply(session: Session, secret: Secret, value: Value, *, cut_off: bool = False, untested: bool = False) -> Version:
    """As `put` does it, with fields that fit, under a lease that the caller holds."""
    expires = check_certificate(secret, value, session.clock()) if secret.kind is SecretKind.X509 else None
    proven = not untested and (_taken(session, secret, value) or _answered_to(session, secret, value))
    if secret.kind.alternates:
        _make_way(session, secret, value, cut_off=cut_off)
    before = session.store.versions(secret.name)
    version = publish(session, secret, value, verified=proven or secret.kind.alternates, expires=expires)
    if cut_off and secret.kind.alternates:
        session.rotation(secret).scramble_unknown(before, version)
    return version


def _answered_to(session: Session, secret: Secret, value: Value) -> bool:
    """Have an agent answer to its key, or DigitalOcean to the token that keys are made with. False for what is neither.

    Raises RefusedError, UnreachableError.
    """
    from secretops.targets.digitalocean import verify

    key = session.manifest.of_kind(SecretKind.AGENT_KEY)
    agent = key.agent if key else None
    try:
        if secret.agent:
            verify(secret.agent.url, value)
        elif secret.name == AGENT_ADMIN[0] and isinstance(agent, OwnedAgent):
            keys = open_agent(agent, lambda: value)
            keys.listed()
            with contextlib.suppress(UnreachableError):  # there is no such key: only a refusal tells
                keys.delete(NamedKey(agent.id, str(uuid.uuid4()), ""))
        else:
            return False
    except UnreachableError as error:
        raise UnreachableError(
            f"{secret.name} could not be tested: {error.what}",
            rule="it is published once it was answered to; the current one was not touched",
            remedy=f"try again; {_way_round(secret)}",
        ) from error
    return True


def publish(
    session: Session, secret: Secret, value: Value, *, verified: bool = False, expires: datetime | None = None
) -> Version:
    """Make a supplied value the current version, under a lease that the caller holds.

    Raises StoreError: a version that could not become the current one is not kept; one that did is, and its delivery is
    what a tick finishes.
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
    session.hint(secret, version.id)
    return session.published(secret, version)


def _make_way(session: Session, secret: Secret, value: Value, *, cut_off: bool) -> None:
    """Test a broker user's value, and retire the previous version, which the store forgets with the next one.

    A new admin does that itself: the one in the store may be what it is put for.
    """
    rotation = session.rotation(secret, admin=value if secret.kind is SecretKind.BROKER_ADMIN else None)
    if not cut_off:
        rotation.respect_grace()
    open_target(session.broker, secret.kind).verify(value)
    facts = session.facts(secret)
    previous = facts.versions.previous
    if previous is None or previous.retired or previous.user == value["username"]:
        return
    if cut_off or retire_due(facts, session.clock()):
        rotation.retire(previous)


def check_fields(secret: Secret, value: Value) -> None:
    """Raise UsageError for fields that do not fit, or hold what their readers can't be given."""
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
    if (secret.name, *secret.fields) == HTTP_TOKEN:  # the launcher would refuse it when clients have it already
        from secretops.launcher.listening import check_token

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
    """When the certificate ends, or the first of its chain. Raises UsageError with everything that is wrong with it."""
    if found := list(certificate_checks.of_supplied(value, now)):
        raise UsageError(
            f"{secret.name}: {'; '.join(flaw.what for flaw in found)}",
            rule="\n".join(dict.fromkeys(flaw.rule for flaw in found)),
            remedy="give what your CA gave you: --file client.crt=PATH --file client.key=PATH; nothing was published",
        )
    return min(one.not_valid_after_utc for one in certificate_checks.certificates(value["client.crt"]))


def _way_round(secret: Secret) -> str:
    return f"from where no answer can be had, secretops put {secret.name} --untested"


def _taken(session: Session, secret: Secret, value: Value) -> bool:
    """Have the broker take a certificate. False for what is none, or where the broker asks for none.

    Raises RefusedError, UnreachableError.
    """
    broker = session.manifest.broker
    if secret.kind is not SecretKind.X509 or not is_asked_for(broker):
        return False
    try:
        prove(session.manifest, session.store, new_token(session.clock()), value)
    except UnreachableError as error:
        raise UnreachableError(error.what, rule=error.rule, remedy=f"{error.remedy}; {_way_round(secret)}") from error
    return True
