"""An operator supplies a value: it is tested where it can be, then published."""

from __future__ import annotations

import unicodedata
from datetime import datetime

from cryptography import x509

from secretops.engine.decisions import retire_due
from secretops.engine.rotation import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import SecretopsError, StoreError, UsageError
from secretops.manifest import HTTP_TOKEN, Secret, SecretKind
from secretops.operations.session import Session
from secretops.stores import env_file
from secretops.targets import open_target
from secretops.values import Value

ONE_LINE = frozenset({SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN, SecretKind.AGENT_KEY})
"""Kinds whose fields travel in a header or a command, and whose libraries quote what does not fit in their errors."""


def put(session: Session, name: str, value: Value, *, cut_off: bool = False) -> Version:
    """Make `value` the current version of `name`. Nothing is kept when it does not log in or does not parse.

    With `cut_off` the readers of the version before the current one have no grace: its user is retired now.

    Raises UsageError for fields that do not fit, RefusedError, UnreachableError, StoreError, GraceError, WaitingError,
    LeaseHeldError.
    """
    secret = session.secret(name)
    check_fields(secret, value)
    expires = _expiry(secret, value) if secret.kind is SecretKind.X509 else None
    with session.lease(f"put {name}"):
        if secret.kind.alternates:
            _make_way(session, secret, value, cut_off=cut_off)
        return publish(session, secret, value, verified=secret.kind.alternates, expires=expires)


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
    return version


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
    if missing := [field for field in secret.fields if not value.get(field)]:
        raise UsageError(
            f"{secret.name}: no {', '.join(missing)}",
            rule=f"a value of {secret.name} has the fields {', '.join(secret.fields)}",
            remedy="answer every prompt, or give all of them on standard input as one JSON object",
        )
    if extra := [field for field in value if field not in secret.fields]:
        raise UsageError(
            f"{secret.name}: {', '.join(extra)}",
            rule=f"a value of {secret.name} has the fields {', '.join(secret.fields)} and no others",
            remedy="leave them out",
        )
    if (secret.name, *secret.fields) == HTTP_TOKEN:  # the launcher would refuse it when clients have it already
        from secretops.launcher.http_token import check_token

        check_token(value["token"])
    for field, text in value.items():
        env_file.check_text(f"{secret.name}.{field}", text)
        if secret.kind in ONE_LINE and any(unicodedata.category(each) == "Cc" for each in text):
            raise UsageError(
                f"{secret.name}.{field}: a control character, such as the newline at the end of a file",
                rule="it is one line: what carries it would refuse it, and quote it in its error",
                remedy="leave it out, for example: tr -d '\\r\\n' < FILE | secretops put …",
            )


def _expiry(secret: Secret, value: Value) -> datetime:
    """When the first certificate of client.crt ends: that is the one the client shows."""
    try:
        return x509.load_pem_x509_certificates(value["client.crt"].encode())[0].not_valid_after_utc
    except ValueError:
        raise UsageError(
            f"{secret.name}: client.crt holds no certificate",
            rule="PEM, the client's own certificate first, then its chain",
            remedy="give the file that your CA gave you: --file client.crt=PATH",
        ) from None
