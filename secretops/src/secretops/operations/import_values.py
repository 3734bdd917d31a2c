"""Publish the values of a server that runs without secretops as first versions.

All values are tested before the first write. A repeated import finishes an interrupted import.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import KW_ONLY, dataclass, field
from datetime import datetime
from textwrap import indent

from secretops.engine.rotator import new_token
from secretops.engine.state import Version
from secretops.errors import NotFoundError, SecretopsError, StoreError, UsageError, did_you_mean
from secretops.formats import counted, field_variable
from secretops.launcher.settings import CERTIFICATE_VARIABLES, FIELDS, OWN_VARIABLES, PUBLIC_VARIABLES
from secretops.manifest import Broker, Manifest, Reader, Secret, SecretKind
from secretops.operations.certificate import presenting, requires_certificate
from secretops.operations.import_sources import SourceEntry, ambiguous, not_text, read_source
from secretops.operations.put import check_certificate, check_fields, check_kind, prove_value, publish
from secretops.operations.session import Session
from secretops.values import Value

# Kinds that are tested and published first, in order: a login may need the certificate.
_FIRST = (SecretKind.X509, SecretKind.MQTT_USER)

# Variable with the CA's file. In a stack, the CA is a setting or a field of the client certificate.
_CA = CERTIFICATE_VARIABLES[0]

# Variables of the token for clients over HTTP, which not every stack has.
_TOKEN = ("MCP_HTTP_TOKEN", "MCP_HTTP_TOKEN_FILE")


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """Values to import, hidden in repr."""

    values: Mapping[str, Value] = field(repr=False)
    # SECRET.FIELD -> where the source has it.
    origins: Mapping[str, str]
    # Entries that are not imported, with the reason.
    left: tuple[UsageError, ...]
    problems: tuple[SecretopsError, ...] = ()

    def packed(self) -> Value:
        """Return these values as the standard input of a remote command."""
        left = [{name: getattr(one, name) for name in ("what", "rule", "remedy", "code")} for one in self.left]
        values = {name: dict(value) for name, value in self.values.items()}
        return Value({"found": json.dumps({"values": values, "origins": self.origins, "left": left})})

    @classmethod
    def unpack(cls, text: bytes) -> ImportPlan:
        found = json.loads(json.loads(text)["found"])
        values = {name: Value(fields) for name, fields in found["values"].items()}
        return cls(values=values, origins=found["origins"], left=tuple(UsageError(**one) for one in found["left"]))


@dataclass(frozen=True)
class Imported:
    """The result of an import for one secret. `version` is None after a dry run."""

    name: str
    version: Version | None
    _: KW_ONLY
    # True if the store had the value before.
    unchanged: bool
    # False if no system tests this secret.
    tested: bool


@dataclass(frozen=True, kw_only=True)
class ImportOutcome:
    secrets: tuple[Imported, ...]
    # Secret without a value -> the command that supplies it.
    missing: Mapping[str, str]


def collect(manifest: Manifest, source: str, stdin: Callable[[], bytes]) -> ImportPlan:
    """Assign the entries of `source` to secrets. Raises UsageError."""
    return _Collecting(manifest).collect(read_source(source, stdin, _targets(manifest)))


def refuse(source: str, problems: Sequence[SecretopsError]) -> None:
    """Raise all problems, if any, as one error with the exit code of the first."""
    if problems:
        problem_count = counted(len(problems), "problem", "problems")
        what = f"import from {source}: {problem_count}; nothing was imported"
        rule, remedy = (
            "\n".join(indent(str(one), "    ")[2:] for one in problems),
            "correct every problem, then run the import again",
        )
        error = UsageError(what, rule=rule, remedy=remedy, code="import-refused")
        error.exit_code = problems[0].exit_code
        raise error


def import_values(session: Session, found: ImportPlan, source: str, *, dry_run: bool = False) -> ImportOutcome:
    """Check, test and publish the values; `dry_run` publishes nothing. Raises UsageError with all problems, StoreError,
    LeaseHeldError."""
    with session.lease("import"):
        ready = _tested(session, found, source)
        missing = {
            secret.name: session.first_value_command(secret)
            for secret in session.manifest.secrets
            if secret.name not in found.values and session.store.versions(secret.name).current is None
        }
        done: list[Imported] = []
        for one in ready:
            version = None if dry_run else _publish(session, one, done)
            done.append(Imported(one.secret.name, version, unchanged=one.current is not None, tested=one.tested))
    return ImportOutcome(secrets=tuple(done), missing=missing)


def _tested(session: Session, found: ImportPlan, source: str) -> list[_Ready]:
    manifest, problems, ready = session.manifest, list(found.problems), list[_Ready]()
    order = sorted(map(manifest.secret, found.values), key=lambda secret: (*_FIRST, secret.kind).index(secret.kind))
    broker: Broker | None = None
    with ExitStack() as opened:
        for secret in order:
            value, is_certificate = found.values[secret.name], secret.kind is SecretKind.X509
            if secret.kind.alternates and broker is None and requires_certificate(manifest.broker) and problems:
                continue  # it cannot be tested without the certificate
            try:
                current = _stored(session, secret, value)
                expires = check_certificate(secret, value, session.clock()) if is_certificate else None
                tested = bool(current.verified) if current else prove_value(session, secret, value, broker)
            except SecretopsError as error:
                problems.append(error)
                continue
            if is_certificate:
                files = presenting(manifest.broker, new_token(session.clock()), value)
                broker = opened.enter_context(files)
            ready.append(_Ready(secret, value, current, tested, expires))
    refuse(source, problems)
    return ready


@dataclass(frozen=True, repr=False)
class _Ready:
    secret: Secret
    value: Value
    # The current version, if it has this value.
    current: Version | None
    tested: bool
    expires: datetime | None


def _stored(session: Session, secret: Secret, value: Value) -> Version | None:
    versions = session.store.versions(secret.name)
    found = versions.current or versions.pending
    if found is None:
        return None
    with suppress(NotFoundError):
        if session.store.read(secret.name, found.id, purpose="compare with an import") == value:
            return versions.current
    what, rule = (
        f"{secret.name}: the store already has version {found.id}",
        "an import must not replace a value",
    )
    remedy = f"to replace the value: secretops {'rotate' if secret.is_made else 'put'} {secret.name}"
    raise UsageError(what, rule=rule, remedy=remedy, code="import-secret-exists")


def _publish(session: Session, one: _Ready, done: list[Imported]) -> Version:
    try:
        if one.current is None:
            return publish(session, one.secret, one.value, verified=one.tested, expires=one.expires)
        if one.current.published is None:
            session.store.publish(one.secret.name, one.current.id, session.clock())
    except SecretopsError as error:
        what = f"{one.secret.name}: not imported: {error.what}"
        names = ", ".join(each.name for each in done) or "nothing"
        rule = f"{error.rule}; imported before this error: {names}"
        remedy = "correct the cause, then run the same import again, which continues"
        raise StoreError(what, rule=rule, remedy=remedy, code="import-unfinished") from error
    return one.current


def _targets(manifest: Manifest) -> dict[str, tuple[Secret, str, bool]]:
    # Variable -> secret, field, and whether it names a file.
    found: dict[str, tuple[Secret, str, bool]] = {}
    for secret in manifest.secrets:
        for name in secret.fields if Reader.SERVER in secret.readers else ():
            variable = FIELDS.get(secret.name, {}).get(name) or field_variable(secret.name, name)
            found[variable] = secret, name, variable in CERTIFICATE_VARIABLES
            found.setdefault(f"{variable}_FILE", (secret, name, True))
    return found


class _Collecting:
    def __init__(self, manifest: Manifest) -> None:
        self._manifest, self._targets = manifest, _targets(manifest)
        self._problems: list[SecretopsError] = []
        # Code, rule and remedy -> the origins of the entries that are left over for this reason.
        self._left: dict[tuple[str, str, str], list[str]] = {}
        # Secret -> field -> text, or why it cannot be read -> origin.
        self._found: dict[str, dict[str, dict[str | UsageError, str]]] = {}

    def collect(self, entries: Iterable[SourceEntry | UsageError]) -> ImportPlan:
        for entry in entries:
            if isinstance(entry, UsageError):
                self._problems.append(entry)
            elif entry.name in self._targets:
                self._assign(entry, *self._targets[entry.name])
            else:
                self._leave_unknown(entry)
        whole = {name: value for name in self._found if (value := self._value(self._manifest.secret(name)))}
        if not whole and not self._problems:
            what = "the source sets no variable of a secret"
            rule = f"the source must set one or more of {', '.join(self._targets)}"
            remedy = "import the source that the server itself reads; or supply each secret: secretops put NAME"
            self._problems.append(UsageError(what, rule=rule, remedy=remedy, code="import-nothing-found"))
        origins = {
            f"{name}.{field}": self._found[name][field][text] for name in whole for field, text in whole[name].items()
        }
        left = [
            UsageError(f"not imported: {', '.join(names)}", rule=rule, remedy=remedy, code=code)
            for (code, rule, remedy), names in self._left.items()
        ]
        return ImportPlan(values=whole, origins=origins, left=tuple(left), problems=tuple(self._problems))

    def _assign(self, entry: SourceEntry, secret: Secret, name: str, is_file: bool) -> None:
        try:
            check_kind(secret)
        except UsageError as error:
            self._leave(entry.origin, error.rule, error.remedy, code="import-secret-made")
            return
        text: str | UsageError
        try:
            text = _read(entry, secret) if is_file and entry.text else entry.text
        except UsageError as error:
            text = error
        if isinstance(text, UsageError) or text.strip():
            self._found.setdefault(secret.name, {}).setdefault(name, {}).setdefault(text, entry.origin)
        else:
            rule = "an entry must have a value, and a variable to which it refers must be set"
            remedy = "write the value in a copy of the source, or export the variable; then import again"
            self._leave(entry.origin, rule, remedy, code="import-entry-empty")

    def _value(self, secret: Secret) -> Value | None:
        # None after it has recorded the problems of the secret.
        found, fields, before = self._found[secret.name], dict[str, str](), len(self._problems)
        if found.keys() == {"ca.crt"}:
            rule = "a client certificate must have a certificate and a key, not only a CA"
            remedy = (
                "for a client certificate: copy the source, add the certificate and its key, and import from the copy. "
                "For the CA of the broker's certificate: set broker.ca_file in the stack file to the path of the CA's "
                "file, then pulumi up"
            )
            for origin in found["ca.crt"].values():
                if self._manifest.broker.ca_file:
                    self._leave_setting(origin)
                else:
                    self._leave(origin, rule, remedy, code="import-ca-alone")
            return None
        for name, origins in found.items():
            texts = [text for text in origins if isinstance(text, str)]
            if texts:
                fields[name] = texts[0]
            else:
                self._problems += [error for error in origins if isinstance(error, UsageError)]
            if len(texts) > 1:
                self._problems.append(ambiguous(f"{secret.name}.{name}", [origins[text] for text in texts]))
        if missing := [name for name in secret.fields if name not in found]:
            variables = [
                variable for variable, (one, name, _) in self._targets.items() if one is secret and name in missing
            ]
            what, rule = (
                f"{secret.name}: no {', '.join(missing)}",
                f"the source must have the fields {', '.join(secret.fields)}",
            )
            remedy = (
                f"add {' or '.join(variables)} to a copy of the source; or supply the secret: secretops put "
                f"{secret.name}"
            )
            self._problems.append(UsageError(what, rule=rule, remedy=remedy, code="import-field-missing"))
        value = Value(fields)
        try:
            if before == len(self._problems):
                check_fields(secret, value)
        except UsageError as error:
            self._problems.append(error)
        return value if before == len(self._problems) else None

    def _leave_unknown(self, entry: SourceEntry) -> None:
        broker = self._manifest.broker
        if entry.text != {"MQTT_BROKER": broker.host, "MQTT_PORT": str(broker.port)}.get(entry.name, entry.text):
            rule = (
                f"the source must name the stack's broker, {broker.host}:{broker.port}: secretops tests the imported "
                "credentials there"
            )
            remedy = "if the source is right, correct the section broker of the stack file, then pulumi up"
            self._leave(entry.origin, rule, remedy, code="import-broker-differs")
        elif entry.name == _CA and broker.ca_file:
            self._leave_setting(entry.origin)
        elif entry.name in (*CERTIFICATE_VARIABLES, *_TOKEN):
            rule = "a client certificate can only be imported if the stack has the secret client-cert"
            remedy = "if the broker checks it: write broker.client_certificate: true in the stack file, then pulumi up"
            if entry.name == _CA:
                rule = "the stack file must name the file of the CA that signs the broker's certificate"
                remedy = "set broker.ca_file in the stack file to the path of the CA's file, then pulumi up"
            elif entry.name in _TOKEN:
                rule = "a bearer token can only be imported if the stack has the secret http-token"
                remedy = "declare http-token in the section secrets of the stack file, then pulumi up"
            self._leave(entry.origin, rule, remedy, code="import-secret-absent")
        elif entry.name in (*PUBLIC_VARIABLES, *OWN_VARIABLES):
            self._leave_setting(entry.origin)
        else:
            rule = "an entry must be the variable of a secret that the stack declares"
            known = (*self._targets, *PUBLIC_VARIABLES)
            remedy = (
                f"{did_you_mean(entry.name, known)}if the entry is a secret of the server, declare the secret in the "
                "section secrets of the stack file, then pulumi up"
            )
            self._leave(entry.origin, rule, remedy, code="import-entry-unknown")

    def _leave_setting(self, origin: str) -> None:
        rule = "settings that are not secret must come from the stack file"
        self._leave(origin, rule, "check that the stack file has these settings", code="import-setting")

    def _leave(self, origin: str, rule: str, remedy: str, *, code: str) -> None:
        self._left.setdefault((code, rule, remedy), []).append(origin)


def _read(entry: SourceEntry, secret: Secret) -> str:
    """Return the text of the file that an entry names. Raises UsageError."""
    try:
        content = entry.read_file(entry.text).decode()
    except OSError as error:
        rule = "the file that this entry names must be readable on this machine"
        remedy = "run the import where the server runs, or import a folder with a copy of the file"
        what = f"{entry.origin}: {error.strerror}"
        raise UsageError(what, rule=rule, remedy=remedy, code="import-file-unreadable") from None
    except UnicodeDecodeError:
        raise not_text(entry.origin) from None
    return content if secret.kind is SecretKind.X509 else content.removesuffix("\n")
