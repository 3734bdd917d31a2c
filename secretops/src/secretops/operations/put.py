from __future__ import annotations

import contextlib
import unicodedata
import uuid
from collections.abc import Callable
from datetime import datetime

from secretops import certificates
from secretops.engine.decisions import retire_due
from secretops.engine.journal import DONE, Entry
from secretops.engine.ports import NamedKey
from secretops.engine.rotator import new_token
from secretops.engine.state import Stage, Version
from secretops.errors import SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import AGENT_ADMIN, HTTP_TOKEN, Broker, Manifest, OwnedAgent, Secret, SecretKind
from secretops.operations.broker_access import BrokerAdmin, hint
from secretops.operations.certificate import prove, requires_certificate
from secretops.operations.rotators import kept_user, rotation
from secretops.operations.session import Session, exclusive
from secretops.stores import env_file
from secretops.targets import open_agent, open_target
from secretops.values import Value

# Kinds with fields that go into a header or a command: libraries quote an invalid field in their errors.
ONE_LINE = frozenset({SecretKind.MQTT_USER, SecretKind.BROKER_ADMIN, SecretKind.AGENT_KEY})

# Kinds with a test that --untested skips.
TESTED = frozenset({SecretKind.X509, SecretKind.AGENT_KEY})

# Bytes of a user name or password (MQTT 5.0, 1.5.4 and 1.5.6).
LONGEST_CREDENTIAL = 65_535

# Bytes of a key: Apache accepts header lines of 8,190 bytes (LimitRequestFieldSize), with the name and "Bearer ".
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
    """Make `value` the current version of `name`. Stores nothing if it is invalid or fails its test.

    `force` retires the previous version now, and sets broken files aside: `notify` gets a line per file. `untested`
    publishes without a test. Raises UsageError, RefusedError, UnreachableError, StoreError, GraceError, WaitingError,
    LeaseHeldError.
    """
    secret = session.secret(name)
    check_kind(secret)
    if untested:
        check_untested(session.manifest, secret)
    check_fields(secret, value)
    with exclusive(session, secret, f"put {name}", notify, force=force):
        return supply(session, secret, value, force=force, untested=untested, notify=notify)


def supply(
    session: Session,
    secret: Secret,
    value: Value,
    *,
    force: bool = False,
    untested: bool = False,
    notify: Callable[[str], None] = lambda _: None,
) -> Version:
    """Test and publish a value with valid fields, under the caller's lease. Raises the errors of `put`."""
    expires = check_certificate(secret, value, session.clock()) if secret.kind is SecretKind.X509 else None
    proven = not untested and not secret.kind.alternates and prove_value(session, secret, value)
    if secret.kind.alternates:
        _retire_previous(session, secret, value, force=force, notify=notify)
    before, admin = session.store.versions(secret.name), value
    unknown = force and {*secret.users} - {value.get("username"), *(each.user for each in before.all)}
    if unknown and secret.kind is not SecretKind.BROKER_ADMIN:
        admin = BrokerAdmin(session).credential()  # before the publication: it may be missing
    version = publish(session, secret, value, verified=proven or secret.kind.alternates, expires=expires)
    if unknown:
        rotation(session, secret, admin=admin).scramble_unknown(before, version)
    return version


def prove_value(session: Session, secret: Secret, value: Value, broker: Broker | None = None) -> bool:
    """Test a login, a certificate or an agent's key. Return False if nothing can test this secret.

    `broker` has files of a certificate that is not published yet. Raises RefusedError, UnreachableError.
    """
    if secret.kind.alternates:
        open_target(broker or session.broker, secret.kind).verify(value)
        return True
    return _test_certificate(session, secret, value) or _test_key(session, secret, value)


def _test_key(session: Session, secret: Secret, value: Value) -> bool:
    """Test an agent's key, or the API token that creates keys. Return False for any other secret."""
    from secretops.targets.digitalocean import verify

    key = session.manifest.of_kind(SecretKind.AGENT_KEY)
    agent = key.agent if key else None
    try:
        if secret.agent:
            verify(secret.agent.url, value)
        elif secret.name == AGENT_ADMIN[0] and isinstance(agent, OwnedAgent):
            keys = open_agent(agent, lambda: value)
            keys.list_keys()
            with contextlib.suppress(UnreachableError):  # the key does not exist: only a refused token counts
                keys.delete(NamedKey(agent.id, str(uuid.uuid4()), ""))
        else:
            return False
    except UnreachableError as error:
        what, rule = (
            f"{secret.name} could not be tested: {error.what}",
            "a secret value must pass a test before it is published",
        )
        remedy = f"try again; or, if this machine cannot reach the agent: secretops put {secret.name} --untested"
        raise UnreachableError(what, rule=rule, remedy=remedy, code="value-not-tested") from error
    return True


def publish(
    session: Session, secret: Secret, value: Value, *, verified: bool = False, expires: datetime | None = None
) -> Version:
    """Make a supplied value the current version, under the caller's lease. Raises StoreError.

    An error before the version is current discards it; after a later error, the next tick delivers it.
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
            what, remedy = (
                f"{secret.name}: {version.id} is current, but not delivered: {error.what}",
                f"{error.remedy}; then: secretops tick" if error.remedy else "secretops tick",
            )
            rule = "the current version must be delivered to its readers"
            raise StoreError(what, rule=rule, remedy=remedy, code="version-not-delivered") from error
        session.store.discard(secret.name, version.id)
        raise
    hint(session, secret, version.id)
    # Written after the publication: with an entry but no version, `status` would report the secret as lost.
    for step in ("prepare", "verify", "publish"):
        if step != "verify" or verified:
            session.journal.write(Entry(time=now, secret=secret.name, version=version.id, step=step, outcome=DONE))
    return version.at(stage=Stage.CURRENT, published=now)


def _retire_previous(
    session: Session, secret: Secret, value: Value, *, force: bool, notify: Callable[[str], None]
) -> None:
    # The new version will remove the previous version from the store.
    made = rotation(session, secret, admin=value if secret.kind is SecretKind.BROKER_ADMIN else None)
    if not force:
        made.respect_grace(value["username"])
    prove_value(session, secret, value)
    facts = session.facts(secret, versions=made.versions)
    previous = facts.versions.previous
    if previous is None or previous.retired or previous.user == value["username"]:
        return
    if force or retire_due(facts, session.clock()):
        made.retire(previous)
        if kept := kept_user(secret, previous):
            notify(kept)


def check_kind(secret: Secret) -> None:
    """Raise UsageError for a secret that only secretops makes."""
    if secret.kind is SecretKind.CA or isinstance(secret.agent, OwnedAgent):
        rule = f"only secretops may create {'keys of your own agent' if secret.agent else 'the CA of the stack'}"
        what, remedy = f"{secret.name}: cannot be supplied", f"secretops rotate {secret.name}"
        raise UsageError(what, rule=rule, remedy=remedy, code="secret-not-supplied")


def check_fields(secret: Secret, value: Value) -> None:
    """Raise UsageError for missing, unknown or invalid fields."""
    rule = f"a value of {secret.name} must have the fields {', '.join(secret.fields)}, none of them blank"
    if missing := [field for field in secret.fields if not value.get(field, "").strip()]:
        remedy = "answer every prompt, or pass all fields on standard input as one JSON object"
        raise UsageError(f"{secret.name}: no {', '.join(missing)}", rule=rule, remedy=remedy, code="field-missing")
    if extra := [field for field in value if field not in secret.fields]:
        unknown = ", ".join(extra)
        what = f"{secret.name}: unknown fields: {unknown}"
        raise UsageError(what, rule=rule, remedy="supply the value without these fields", code="field-unknown")
    if (secret.name, *secret.fields) == HTTP_TOKEN:  # the launcher would reject the token only after clients have it
        from secretops.launcher.http_options import check_token

        check_token(value["token"])
    for field, text in value.items():
        name = f"{secret.name}.{field}"
        env_file.check_text(name, text)
        if secret.kind not in ONE_LINE and (secret.name, field) != AGENT_ADMIN:
            continue
        if any(unicodedata.category(each) == "Cc" for each in text):
            what, rule = f"{name}: a control character, such as a final newline", "the field must be one line"
            remedy = (
                "supply the field's own text, without this character; for example a file without its newlines, in "
                f"bash: secretops put {secret.name} --file {field}=<(tr -d '\\r\\n' < FILE)"
            )
            raise UsageError(what, rule=rule, remedy=remedy, code="field-control-character")
        if not secret.kind.alternates:
            from secretops.targets.https import check_header_value

            check_header_value(name, text)
        limit = LONGEST_CREDENTIAL if secret.kind.alternates else LONGEST_KEY
        if (size := len(text.encode())) > limit:
            what, rule = f"{name}: {size} bytes", f"the field may have at most {limit} bytes; nothing was published"
            remedy = f"supply only the credential, not a whole file that contains it: secretops put {secret.name}"
            raise UsageError(what, rule=rule, remedy=remedy, code="field-too-long")


def check_untested(manifest: Manifest, secret: Secret) -> None:
    if secret.kind in TESTED or secret.name == AGENT_ADMIN[0]:
        return
    known = [one.name for one in manifest.secrets if one.kind in TESTED and not one.is_made]
    rule = "only agent keys and certificates may be published untested; a login is always tested"
    remedy = f"omit --untested, which is for {', '.join(known)}" if known else "omit --untested"
    raise UsageError(f"{secret.name}: --untested is not allowed", rule=rule, remedy=remedy, code="untested-not-allowed")


def check_certificate(secret: Secret, value: Value, now: datetime) -> datetime:
    """Check a client certificate. Return when it or its chain expires, whichever is first. Raises UsageError."""
    if found := list(certificates.check_supplied(value, now)):
        flaw, *others = found
        remedy = (
            f"nothing was published; pass the files from your CA: secretops put {secret.name} --file client.crt=PATH "
            "--file client.key=PATH"
        )
        if not others:
            raise UsageError(f"{secret.name}: {flaw.what}", rule=flaw.rule, remedy=remedy, code=flaw.code)
        what = f"{secret.name}: several problems: {'; '.join(f'{one.what} [{one.code}]' for one in found)}"
        rule = "\n".join(dict.fromkeys(one.rule for one in found))
        raise UsageError(what, rule=rule, remedy=remedy, code="certificate-invalid")
    return min(one.not_valid_after_utc for one in certificates.load_certificates(value["client.crt"]))


def _test_certificate(session: Session, secret: Secret, value: Value) -> bool:
    """Test a certificate at the broker. Return False for any other secret, or if the broker requires no certificate."""
    if secret.kind is not SecretKind.X509 or not requires_certificate(session.manifest.broker):
        return False
    try:
        prove(session.manifest, session.store, new_token(session.clock()), value)
    except UnreachableError as error:
        remedy = f"{error.remedy}; or, if this machine cannot reach the broker: secretops put {secret.name} --untested"
        raise UnreachableError(error.what, rule=error.rule, remedy=remedy, code="value-not-tested") from error
    return True
