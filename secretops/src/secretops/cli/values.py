from __future__ import annotations

import re
import sys
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secretops import redaction, signals
from secretops.cli import console
from secretops.errors import ExitCode, LeaseHeldError, UsageError
from secretops.registry import with_extra
from secretops.values import PUBLIC_FIELDS, Value

if TYPE_CHECKING:
    from secretops.engine.state import Version
    from secretops.manifest import Secret
    from secretops.operations.session import Session

# Fields that keep their final newline.
PEM_FIELDS = frozenset({"ca.crt", "client.crt", "client.key"})

Now = Annotated[bool, typer.Option("--now", help="Do not wait for readers. Set broken files of a dotenv store aside.")]


def options(**chosen: bool) -> tuple[str, ...]:
    return tuple(f"--{name}" for name, is_chosen in chosen.items() if is_chosen)


def _user(kind: str, version: Version | None) -> str:
    if version is None or not version.user:
        return "-"
    from secretops.engine.ports import NamedKey
    from secretops.manifest import SecretKind

    return NamedKey.of(version.user).id if kind == SecretKind.AGENT_KEY else version.user


def _age(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "-"
    seconds = int((now - when).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@console.app.command()
def status(
    prometheus: Annotated[
        bool, typer.Option("--prometheus", help="Print metrics in Prometheus' text format. Exit code 0 if printed.")
    ] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Print each secret's user, age, last login and due date."""
    from secretops.operations import status as operation

    if prometheus and as_json:
        what, rule = "--prometheus and --json both print", "standard output must contain only one document"
        remedy = "secretops status --prometheus; or: secretops status --json"
        raise UsageError(what, rule=rule, remedy=remedy, code="output-ambiguous")
    session = console.open_session(stack, manifest)
    statuses = operation.status(session)
    if prometheus:
        with with_extra("server"):
            from secretops.operations.metrics import render
        console.out.print_document(render(session, statuses).rstrip("\n"))
        return ExitCode.DONE
    if as_json:
        console.print_json({"secrets": [asdict(one) for one in statuses]})
        return operation.exit_code(statuses)
    now = session.clock()
    headings = ["secret", "status", "user", "age", "verified", "next", "servers"]
    rows = list[list[str | console.Styled]]()
    colors = {"verified": "green", "attention": "red", "unreadable": "red", "waiting": "yellow"}
    for one in statuses:
        current = one.current
        row: list[str | console.Styled] = [
            one.name,
            console.Styled(one.status, colors.get(one.status, "")),
            _user(one.kind, current),
            _age(current.published if current else None, now),
            f"{_age(current.verified, now)} ago" if current and current.verified else "-",
            f"{one.due:%Y-%m-%d}" if one.due else "-",
            one.replica_counts,
        ]
        rows.append(row)
    if all(row[-1] == "-" for row in rows):  # no server reports
        headings, rows = headings[:-1], [row[:-1] for row in rows]
    console.out.print(f"{session.manifest.project}/{session.manifest.stack}", style="italic")
    cut = {
        "user": console.cut_ids,
        "verified": lambda text: text.removesuffix(" ago"),
        "servers": lambda text: re.sub(r"on \S+", "other", text),
    }
    console.print_table(headings, rows, cut=cut, drop=("verified", "age", "next"))
    for one in statuses:
        for note in one.notes:
            console.out.print(f"  {one.name}: {note}")
    return operation.exit_code(statuses)


@console.app.command(context_settings={"allow_extra_args": True})
def put(  # noqa: PLR0917 - typer calls it by name
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The secret, for example agent-key.")],
    now: Now = False,
    untested: Annotated[
        bool, typer.Option("--untested", help="Publish a key or certificate without a test. Put it again to test it.")
    ] = False,
    file: Annotated[list[str] | None, typer.Option("--file", help="FIELD=PATH: read a field from a file.")] = None,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Supply a secret's value at a prompt or on standard input.

    Standard input is a JSON object of the fields, or the text of a single field.
    """
    from secretops.engine.decisions import due_at
    from secretops.operations import put as operation
    from secretops.operations.session import NO_ARGUMENT

    if context.args:  # the argument may be the secret value
        remedy = (
            "type the value at the prompt, or pass it on standard input; if the argument was a value, replace that "
            "value: it is exposed"
        )
        what = f"put {name}: unexpected argument"
        raise UsageError(what, rule=NO_ARGUMENT, remedy=remedy, code="usage-invalid")
    session = console.open_session(stack, manifest)
    operation.check_kind(session.secret(name))
    with signals.BeforeChanges():
        value = supplied(session.secret(name), file or [], untested=untested)
    if remote := session.platform.remote_command(session.manifest):
        operation.check_fields(session.secret(name), value)
        if untested:
            operation.check_untested(session.manifest, session.secret(name))
        command = ("put", name, *options(now=now, untested=untested, json=as_json))
        return remote(command, supplied=value)
    notify = lambda text: console.err.print(f"{name}: {text}")  # noqa: E731
    version = operation.put(session, name, value, force=now, untested=untested, notify=notify)
    tested = ("logged in, " if version.user else "tested, ") if version.verified else ""
    console.print_result(f"{name}: {tested}published as {version.id}", asdict(version), as_json)
    if version.expires and (due := due_at(session.facts(session.secret(name)))):
        console.err.print(f"{name}: {_until(version)}; the next one is due {due:%Y-%m-%d}")
    return ExitCode.DONE


def read_files(secret: Secret, from_files: list[str]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for entry in from_files:
        field, separator, path = entry.partition("=")
        if not separator or field not in secret.fields:
            what = "--file names no field of this secret, or no path"  # the argument may be the secret value
            rule, remedy = (
                f"--file must be FIELD=PATH, with the field {' or '.join(secret.fields)}",
                f"for example --file {secret.fields[-1]}=PATH",
            )
            raise UsageError(what, rule=rule, remedy=remedy, code="file-option-invalid")
        try:
            fields[field] = Path(path).read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8"
            what, rule = f"--file {field}: {why}", "--file FIELD=PATH must name a readable file of UTF-8 text"
            raise UsageError(
                what, rule=rule, remedy="correct the path, or write the file again as UTF-8", code="file-unreadable"
            ) from None
        if field not in PEM_FIELDS:
            fields[field] = fields[field].removesuffix("\n").removesuffix("\r")
    return fields


def supplied(secret: Secret, from_files: list[str], *, untested: bool = False) -> Value:
    """Return a secret's value from files (FIELD=PATH), prompts or standard input. Raises UsageError."""
    fields = read_files(secret, from_files)
    left = [field for field in secret.fields if field not in fields]
    if not left:
        return Value(fields)
    if sys.stdin.isatty():
        return Value({**fields, **_prompt(secret, left, untested=untested)})
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        rule, remedy = "a secret value must be UTF-8 text without NUL", "encode binary data, for example with base64"
        raise UsageError("standard input is not UTF-8", rule=rule, remedy=remedy, code="value-not-utf8") from None
    if not text.strip():
        rule = f"standard input must contain the field {left[0]}"
        if len(left) > 1:
            rule = f"standard input must be a JSON object with the fields {', '.join(left)}"
        remedy = "run the command with `< FILE`, or in a terminal for a prompt"
        raise UsageError("standard input is empty", rule=rule, remedy=remedy, code="standard-input-empty")
    if len(left) == 1 and not text.lstrip().startswith("{"):
        fields[left[0]] = text.removesuffix("\n")
        return Value(fields)
    from pydantic import TypeAdapter, ValidationError

    try:
        return Value({**fields, **TypeAdapter(dict[str, str]).validate_json(text, strict=True)})
    except ValidationError:
        what, rule = (
            "standard input is not a JSON object of strings",
            f"standard input must be a JSON object with the fields {', '.join(left)}, each of them a string",
        )
        remedy = "pass one JSON object with these fields, or run the command in a terminal for a prompt"
        raise UsageError(what, rule=rule, remedy=remedy, code="value-not-json") from None


def _prompt(secret: Secret, fields: list[str], *, untested: bool) -> dict[str, str]:
    if secret.agent and not untested:
        console.err.print(f"{', '.join(fields)}: tested at {secret.agent.url} before it is stored")
    return {field: console.ask(field, hidden=field not in PUBLIC_FIELDS) for field in fields}


@console.app.command()
def rotate(  # noqa: PLR0917 - typer calls it by name
    name: Annotated[str, typer.Argument(help="The secret, for example mqtt.")],
    now: Now = False,
    discard: Annotated[
        bool, typer.Option("--discard", help="Discard a CA that the broker does not trust yet.")
    ] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Make a new value, test it, and publish it."""
    from secretops.manifest import SecretKind
    from secretops.operations import rotate as operation

    session = console.open_session(stack, manifest)
    if remote := session.platform.remote_command(session.manifest):
        return remote(("rotate", name, *options(now=now, discard=discard, json=as_json)))
    if discard:
        version = operation.discard(session, name)
        text = f"{name}: discarded {version.id}, which has signed nothing"
        return console.print_result(text, {**asdict(version), "stage": "discarded"}, as_json)
    version = operation.rotate(session, name, force=now, notify=lambda text: console.err.print(f"{name}: {text}"))
    proven = f"user {version.user} logged in" if version.user else f"the broker accepts it, {_until(version)}"
    if session.secret(name).agent:
        proven = f"the agent accepts key {_user(SecretKind.AGENT_KEY, version)}"
    return console.print_result(f"{name}: {proven}, published as {version.id}", asdict(version), as_json)


def _until(version: Version) -> str:
    return f"valid until {version.expires:%Y-%m-%d %H:%M} UTC" if version.expires else "without an end"


@console.app.command()
def tick(
    scheduled: Annotated[bool, typer.Option("--scheduled", help="Exit with 0 instead of 3, 4 and 5.")] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Do what is due: finish or start rotations, retire old versions.

    Then verify the other secrets. Schedules call it every hour.
    """
    session = console.open_session(stack, manifest, role="rotator")
    if remote := session.platform.remote_command(session.manifest):
        return remote(("tick", *options(scheduled=scheduled, json=as_json)))
    try:
        code = _tick(session, as_json)
    except LeaseHeldError as error:
        if scheduled:
            error.exit_code = ExitCode.DONE
        raise
    return ExitCode.DONE if scheduled and code not in (ExitCode.FAILED, ExitCode.USAGE) else code


def _tick(session: Session, as_json: bool) -> ExitCode:
    from secretops.operations import tick as operation

    outcomes = operation.tick(session)
    if as_json:
        rows = [
            {name: getattr(one, name) for name in ("secret", "done", "attention", "waiting")}
            | {"error": redaction.redact(str(one.error)) if one.error else None}
            for one in outcomes
        ]
        console.print_json({"secrets": rows})
        return operation.exit_code(outcomes)
    for one in outcomes:
        for text in one.done or one.waiting or ("nothing to do",) * (one.error is None and not one.attention):
            console.out.print(f"{one.secret}: {text}")
        for text in one.attention:
            console.out.print(f"{one.secret}: {text}", style="red")
        if one.error:
            text = redaction.redact(str(one.error))
            console.err.print(text if text.startswith(f"{one.secret}: ") else f"{one.secret}: {text}")
    return operation.exit_code(outcomes)
