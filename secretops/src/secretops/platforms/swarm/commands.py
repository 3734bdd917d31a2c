"""Commands that write a Swarm's stack as files, for a Swarm without Pulumi."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from secretops.cli.console import AsJson, Stack, err, make_group, out, print_json
from secretops.errors import ExitCode

export = make_group("Write a Docker Swarm's stack as files without values.")

Folder = Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the files are written.")]


@export.command()
def compose(
    to: Folder,
    first: Annotated[
        bool,
        typer.Option("--first", help="For a first deployment: list no secrets, and connect to no daemon."),
    ] = False,
    stack: Stack = None,
    as_json: AsJson = False,
) -> int:
    """Write the compose file for `docker stack deploy`.

    Deploying it has the same result as `pulumi up`, with the current versions.
    """
    from secretops.platforms.swarm import export as operation

    program = operation.load_program(stack)
    secrets = () if first else operation.current_secrets(program)
    operation.write_files(to, operation.compose_files(program, secrets))
    file = to / operation.COMPOSE
    return _done(file, [file], [program.deploy(file)], as_json)


@export.command()
def timer(
    to: Folder,
    at: Annotated[
        str | None,
        typer.Option("--at", metavar="PATH", help="Folder of the files on the manager; by default in /etc."),
    ] = None,
    stack: Stack = None,
    as_json: AsJson = False,
) -> int:
    """Write a systemd timer for an hourly tick on a manager.

    The tick runs in the stack's own image.
    """
    from secretops.platforms.swarm import export as operation

    program = operation.load_program(stack)
    files = operation.timer_files(program, at)
    operation.write_files(to, files)
    return _done(to, [to / name for name in files], operation.enable_commands(program, to, at), as_json)


def _done(written: Path, files: Sequence[Path], commands: Sequence[str], as_json: bool) -> int:
    if as_json:
        print_json({"files": [str(file) for file in files], "next": list(commands)})
        return ExitCode.DONE
    out.print_document(str(written))
    err.print("-> on a manager that has these files:")
    for command in commands:
        err.print_document(f"   {command}")
    return ExitCode.DONE
