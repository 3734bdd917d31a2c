"""The commands that write files for others: a Swarm's stack without Pulumi, and the CAs that the broker trusts."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from secretops.cli.console import (
    AsJson,
    ManifestFile,
    Stack,
    app,
    err,
    make_group,
    open_session,
    out,
    print_json,
    print_result,
)
from secretops.errors import ExitCode

export = make_group("Write a Docker Swarm's stack as files. They hold no value.")
app.add_typer(export, name="export")

Folder = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files are written.")]


@export.command()
def compose(
    to: Folder,
    first: Annotated[
        bool,
        typer.Option("--first", help="For a first deployment: connect to no daemon; the server gets no secret yet."),
    ] = False,
    stack: Stack = None,
    as_json: AsJson = False,
) -> int:
    """The file for docker stack deploy that is what `pulumi up` makes, with the versions that are current now."""
    from secretops.operations import export as operation

    program = operation.ask(stack)
    secrets = () if first else operation.delivered(program)
    operation.lay(to, operation.compose_files(program, secrets))
    written, deploy = str(to / operation.COMPOSE), program.deploy(to / operation.COMPOSE)
    if not as_json:
        err.print(f"-> on a manager: {deploy}")
    return print_result(written, {"files": [written], "next": [deploy]}, as_json)


@export.command()
def timer(
    to: Folder,
    at: Annotated[
        str | None, typer.Option("--at", metavar="PATH", help="Where they will lie on a manager; /etc/… by default.")
    ] = None,
    stack: Stack = None,
    as_json: AsJson = False,
) -> int:
    """A systemd timer for a manager that starts secretops tick each hour, in the stack's own image."""
    from secretops.operations import export as operation

    program = operation.ask(stack)
    files = operation.timer_files(program, at)
    operation.lay(to, files)
    if as_json:
        print_json({"files": [str(to / name) for name in files], "next": operation.turn_on(program, to, at)})
        return ExitCode.DONE
    out.print(str(to))
    err.print("-> on a manager that has that folder:")
    for command in operation.turn_on(program, to, at):
        err.print(f"   {command}")
    return ExitCode.DONE


@app.command()
def trust(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Write each CA into a file of its own there (mosquitto's capath)."),
    ] = None,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Print the stack's CAs that the broker has to trust now, as PEM. They are public: send them to its admin."""
    from secretops.operations import trust as operation
    from secretops.platforms.swarm import remote_command

    session = open_session(stack, manifest)
    if remote_command.is_needed(session.manifest):
        printed = io.BytesIO()
        code = remote_command.carry(session.manifest, ("trust",), out=printed)
        if code != ExitCode.DONE:
            return code
        text = printed.getvalue().decode()
    else:
        text = operation.bundle(session)
    if to is None:
        return print_result(text.removesuffix("\n"), {"pem": text}, as_json)
    laid = operation.lay(session.manifest, to, text)
    if as_json:
        print_json({"trusted": [str(path) for path in laid.trusted], "removed": [str(path) for path in laid.gone]})
        return ExitCode.DONE
    for path in laid.trusted:
        out.print(str(path))
    for path in laid.gone:
        err.print(f"removed {path}: no certificate in use is signed by it")
    err.print(f"-> openssl rehash {to}, once mosquitto's capath is that folder")
    return ExitCode.DONE
