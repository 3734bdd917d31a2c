"""The commands that write a Swarm's stack as files, for a Swarm without Pulumi."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from secretops.cli.console import AsJson, Stack, err, make_group, out, print_json
from secretops.errors import ExitCode

export = make_group("Write a Docker Swarm's stack as files. They hold no value.")

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
    from secretops.platforms.swarm import export as operation

    program = operation.ask(stack)
    secrets = () if first else operation.delivered(program)
    operation.lay(to, operation.compose_files(program, secrets))
    if as_json:
        print_json({"files": [str(to / operation.COMPOSE)], "next": [program.deploy(to / operation.COMPOSE)]})
        return ExitCode.DONE
    out.print(str(to / operation.COMPOSE))
    err.print(f"-> on a manager: {program.deploy(to / operation.COMPOSE)}")
    return ExitCode.DONE


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
    from secretops.platforms.swarm import export as operation

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
