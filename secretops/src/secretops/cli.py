"""The `secretops` command. Parses and prints; what happens is in `operations`."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from secretops import redaction
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.manifest import Secret
from secretops.operations.session import Session
from secretops.operations.stack import load_manifest, project_folder
from secretops.values import PUBLIC_FIELDS, Value

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Live with the secrets of a Coreflux MCP server. Speaks of the selected Pulumi stack unless told another.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 needs attention, 4 lease held, 5 waiting for a value.",
)
broker_app = typer.Typer(no_args_is_help=True, help="The embedded broker of a dev stack.")
app.add_typer(broker_app, name="broker")

Stack = Annotated[str | None, typer.Option("--stack", "-s", help="Stack, instead of the selected one.")]
ManifestFile = Annotated[
    Path | None,
    typer.Option("--manifest", envvar="SECRETOPS_MANIFEST", help="Manifest file, where there is no Pulumi."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

PEM_FIELDS = frozenset({"ca.crt", "client.crt", "client.key"})
"""Fields whose final newline belongs to them."""

WIDEST = 400
"""Characters that a table may be wide: no name is cut off, a narrow terminal wraps its lines."""

out = Console(highlight=False, soft_wrap=True, width=WIDEST)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def main() -> None:
    """Run the command line; end with a documented exit code and never with a traceback for a user's mistake."""
    redaction.install()
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # a person's own line that does not parse is theirs
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        code = app(standalone_mode=False)
    except SecretopsError as error:
        err.print(redaction.redact(str(error)), markup=False)
        code = error.exit_code
    except typer.TyperException as error:
        err.print(f"{error.format_message()}\n-> secretops --help", markup=False)
        code = ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        err.print("stopped; what was begun is finished by the next tick")
        code = ExitCode.FAILED
    except Exception:
        err.print(redaction.redact(traceback.format_exc()), markup=False)
        code = ExitCode.FAILED
    sys.exit(int(code or 0))


def _open(stack: str | None, file: Path | None, role: str = "operator") -> Session:
    return Session.open(load_manifest(stack, file), role=role)


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, indent=2, default=lambda value: value.isoformat()))


def _age(when: datetime | None, now: datetime) -> str:
    if when is None:
        return "-"
    seconds = int((now - when).total_seconds())
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


@app.command()
def status(stack: Stack = None, manifest: ManifestFile = None, as_json: AsJson = False) -> int:
    """How every secret stands: version, age, when it last logged in, when the next one is due."""
    from secretops.operations import status as operation

    session = _open(stack, manifest)
    statuses = operation.status(session)
    if as_json:
        _print_json([asdict(one) for one in statuses])
        return operation.exit_code(statuses)
    now = session.clock()
    table = Table(title=f"{session.manifest.project}/{session.manifest.stack}", title_justify="left", box=None)
    for heading in ("secret", "standing", "user", "age", "verified", "next", "servers"):
        table.add_column(heading, no_wrap=True)
    colours = {"verified": "green", "attention": "red", "waiting": "yellow"}
    for one in statuses:
        current = one.current
        colour = colours.get(one.standing, "")
        table.add_row(
            escape(one.name),
            f"[{colour}]{one.standing}[/]" if colour else one.standing,
            escape((current and current.user) or "-"),
            _age(current.published if current else None, now),
            f"{_age(current.verified, now)} ago" if current and current.verified else "-",
            f"{one.due:%Y-%m-%d}" if one.due else "-",
            one.told_replicas,
        )
    out.print(table)
    for one in statuses:
        for note in one.notes:
            out.print(f"  {one.name}: {note}", markup=False)
    return operation.exit_code(statuses)


@app.command(context_settings={"allow_extra_args": True})
def put(  # noqa: PLR0917 - typer calls it by name
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The secret, for example agent-key.")],
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for readers of the version before; their sessions drop.")
    ] = False,
    file: Annotated[list[str] | None, typer.Option("--file", help="FIELD=PATH: read a field from a file.")] = None,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Supply a secret's value: prompted for, or on standard input (JSON, or the text of a single field)."""
    from secretops.operations import put as operation

    if context.args:  # not repeated: it may be the value
        raise UsageError(
            f"put {name}: an argument too many",
            rule="a value is never an argument: the shell's history and every process list would show it",
            remedy="run it in a terminal to be prompted, or give the value on standard input; "
            "if it was the value, it is known now: replace it",
        )
    session = _open(stack, manifest)
    value = _supplied(session.secret(name), file or [])
    version = operation.put(session, name, value, cut_off=now)
    if as_json:
        _print_json(asdict(version))
    else:
        tested = "logged in, " if version.verified else ""
        out.print(f"{name}: {tested}published as {version.id}", markup=False)
    return ExitCode.DONE


def _supplied(secret: Secret, from_files: list[str]) -> Value:
    """A value from files, prompts or standard input. Never from the command line."""
    fields: dict[str, str] = {}
    for entry in from_files:
        field, separator, path = entry.partition("=")
        if not separator or field not in secret.fields:
            raise UsageError(
                "--file: not one of this secret's fields, or no path",  # not repeated: it may be the value
                rule=f"--file FIELD=PATH, FIELD one of {', '.join(secret.fields)}",
                remedy=f"for example --file {secret.fields[-1]}=PATH",
            )
        try:
            fields[field] = Path(path).read_bytes().decode()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "not UTF-8"
            raise UsageError(
                f"--file {field}: {why}", rule="FIELD=PATH names a file of UTF-8 text", remedy="name one"
            ) from None
        if field not in PEM_FIELDS:
            fields[field] = fields[field].removesuffix("\n").removesuffix("\r")
    left = [field for field in secret.fields if field not in fields]
    if not left:
        return Value(fields)
    if sys.stdin.isatty():
        for field in left:
            fields[field] = typer.prompt(field, hide_input=field not in PUBLIC_FIELDS, err=True)
        return Value(fields)
    try:
        text = sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise UsageError(
            "standard input is not UTF-8",
            rule="a value is UTF-8 text without NUL",
            remedy="encode binary data, for example with base64",
        ) from None
    if len(left) == 1 and not text.lstrip().startswith("{"):
        fields[left[0]] = text.removesuffix("\n")
        return Value(fields)
    try:
        given = TypeAdapter(dict[str, str]).validate_json(text, strict=True)
    except ValidationError:
        raise UsageError(
            "standard input is not a JSON object of strings",
            rule=f"{secret.name} has the fields {', '.join(secret.fields)}",
            remedy="give them as one JSON object, or run it in a terminal to be prompted",
        ) from None
    return Value({**fields, **given})


@app.command()
def rotate(
    name: Annotated[str, typer.Argument(help="The secret, for example mqtt.")],
    now: Annotated[
        bool, typer.Option("--now", help="Do not wait for readers of the version before; their sessions drop.")
    ] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Make a new value, prove it, and publish it."""
    from secretops.operations import rotate as operation

    session = _open(stack, manifest)
    say: Callable[[str], None] = lambda text: err.print(f"{name}: {text}", markup=False)  # noqa: E731
    version = operation.rotate(session, name, cut_off=now, say=say)
    if as_json:
        _print_json(asdict(version))
    else:
        out.print(f"{name}: user {version.user} logged in, published as {version.id}", markup=False)
    return ExitCode.DONE


@app.command()
def tick(stack: Stack = None, manifest: ManifestFile = None, as_json: AsJson = False) -> int:
    """What the schedule calls every hour: finish, retire, rotate what is due, verify the rest."""
    from secretops.operations import tick as operation

    outcomes = operation.tick(_open(stack, manifest, role="rotator"))
    if as_json:
        _print_json(
            [
                {
                    "secret": one.secret,
                    "done": one.done,
                    "error": redaction.redact(str(one.error)) if one.error else None,
                    "attention": one.attention,
                    "waiting": one.waiting,
                }
                for one in outcomes
            ]
        )
        return operation.exit_code(outcomes)
    for one in outcomes:
        for text in one.done or one.waiting or ("nothing to do",) * (one.error is None and not one.attention):
            out.print(f"{one.secret}: {text}", markup=False)
        for text in one.attention:
            out.print(f"{one.secret}: {text}", markup=False, style="red")
        if one.error:
            err.print(f"{one.secret}: {redaction.redact(str(one.error))}", markup=False)
    return operation.exit_code(outcomes)


@app.command()
def run(
    source: Annotated[str, typer.Option("--from", help="dotenv:, file:, files: or json: and a path, or env:.")],
    transport: Annotated[
        Literal["stdio", "sse", "http"],
        typer.Option("--transport", envvar="MCP_TRANSPORT", help="How MCP clients reach it; http is streamable HTTP."),
    ] = "stdio",
    listen: Annotated[
        str, typer.Option("--listen", envvar="MCP_LISTEN", help="ADDRESS:PORT for sse and http.")
    ] = "127.0.0.1:8000",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", envvar="MCP_ALLOWED_HOSTS", help="A name that clients call the server by."),
    ] = None,
) -> int:
    """The launcher: run the unmodified MCP server on the values of a store, over stdio, SSE or streamable HTTP."""
    from secretops import launcher
    from secretops.launcher.listening import listening

    return launcher.run(source, listening(transport, listen, allowed_host or ()))


@app.command()
def purge(
    destroy: Annotated[bool, typer.Option("--destroy", help="Really remove them.")] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Remove every value of the stack for good. Without --destroy: say which."""
    from secretops.operations import purge as operation

    session = _open(stack, manifest)
    found = operation.purge(session, destroy=destroy)
    if as_json:
        _print_json({name: [asdict(version) for version in versions] for name, versions in found.items()})
        return ExitCode.DONE
    for name, versions in found.items():
        for version in versions:
            out.print(f"{name}: {version.id} ({version.stage}) {'removed' if destroy else 'would be removed'}")
    if not found:
        out.print("no values")
    elif not destroy:
        out.print("nothing was removed; --destroy removes them for good")
    return ExitCode.DONE


@broker_app.command("start")
def broker_start(stack: Stack = None, manifest: ManifestFile = None, as_json: AsJson = False) -> int:
    """Start the stack's embedded broker in the background, unless something listens there already."""
    from secretops.operations import broker as operation

    return _tell(operation.start(_open(stack, manifest)), as_json)


@broker_app.command("stop")
def broker_stop(stack: Stack = None, manifest: ManifestFile = None, as_json: AsJson = False) -> int:
    """Stop the embedded broker that `start` started."""
    from secretops.operations import broker as operation

    try:
        found = load_manifest(stack, manifest)
    except UsageError as error:
        return _tell(f"{error.what}\n{operation.stop_default(project_folder())}", as_json)
    return _tell(operation.stop(found), as_json)


def _tell(message: str, as_json: bool) -> int:
    if as_json:
        _print_json({"message": message})
    else:
        out.print(message, markup=False)
    return ExitCode.DONE
