"""The command that says whom the broker has to trust."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from secretops.cli.console import AsJson, ManifestFile, Stack, app, err, open_session, out, print_json
from secretops.errors import ExitCode


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

    session = open_session(stack, manifest)
    if remote := session.platform.remote_command(session.manifest):
        printed = io.BytesIO()
        code = remote(("trust",), out=printed)
        if code != ExitCode.DONE:
            return code
        text = printed.getvalue().decode()
    else:
        text = operation.bundle(session)
    if to is None:
        if as_json:
            print_json({"pem": text})
        else:
            typer.echo(text, nl=False)
        return ExitCode.DONE
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
