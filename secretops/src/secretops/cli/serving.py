from __future__ import annotations

import io
from pathlib import Path
from typing import Annotated

import typer

from secretops import registry
from secretops.cli import console
from secretops.errors import ExitCode, UsageError

SCHEMES = (*registry.sources(), "file", "files", "json")
# Stack whose broker is in the project's default folder.
DEFAULT_STACK = "dev"

broker_app = console.make_group("The embedded broker of a dev stack.")
console.app.add_typer(broker_app, name="broker")


@console.app.command()
def run(
    source: Annotated[
        str,
        typer.Option(
            "--from", help=f"Source: {', '.join(f'{scheme}:' for scheme in SCHEMES)} and a location, or env:."
        ),
    ],
    transport: Annotated[
        str,
        typer.Option(
            "--transport", metavar="[stdio|sse|http]", envvar="MCP_TRANSPORT", help="Transport to MCP clients."
        ),
    ] = "stdio",
    listen: Annotated[
        str, typer.Option("--listen", envvar="MCP_LISTEN", help="ADDRESS:PORT for sse and http.")
    ] = "127.0.0.1:8000",
    allowed_host: Annotated[
        list[str] | None,
        typer.Option("--allowed-host", envvar="MCP_ALLOWED_HOSTS", help="Host name by which clients call the server."),
    ] = None,
    allow_connection_tools: Annotated[
        bool,
        typer.Option(
            "--allow-connection-tools",
            envvar="MCP_ALLOW_CONNECTION_TOOLS",
            help="Over sse and http, let any client change the broker and user of all clients.",
        ),
    ] = False,
) -> int:
    """Run the unmodified MCP server with the values of a store.

    Serves over stdio, SSE or streamable HTTP.
    """
    from secretops import launcher
    from secretops.launcher.http_options import parse_http_options

    chosen = parse_http_options(transport, listen, allowed_host or (), connection_tools=allow_connection_tools)
    return launcher.run(source, chosen)


@broker_app.command("start")
def broker_start(
    stack: console.Stack = None, manifest: console.ManifestFile = None, as_json: console.AsJson = False
) -> int:
    """Start the embedded broker in the background, unless it runs."""
    from secretops.operations import broker as operation

    return _print(operation.start(console.open_session(stack, manifest)), as_json)


@broker_app.command("stop")
def broker_stop(
    stack: console.Stack = None, manifest: console.ManifestFile = None, as_json: console.AsJson = False
) -> int:
    """Stop the embedded broker."""
    from secretops.operations import broker as operation
    from secretops.operations.stack import load_manifest, project_folder
    from secretops.stores.files import AnotherStackError

    try:
        found = load_manifest(stack, manifest)
    except UsageError as error:
        if manifest or isinstance(error, AnotherStackError) or stack not in (None, DEFAULT_STACK):
            raise
        stopped = operation.stop_default(project_folder())
        return _print(f"{stopped} (only the default folder was checked: {error.what})", as_json)
    return _print(operation.stop(found), as_json)


def _print(message: str, as_json: bool) -> int:
    return console.print_result(message, {"message": message}, as_json)


@console.app.command()
def trust(
    to: Annotated[
        Path | None,
        typer.Option("--to", metavar="FOLDER", help="Write each CA to its own file in FOLDER (mosquitto's capath)."),
    ] = None,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Print the stack's CAs that the broker must trust, as PEM. They are public."""
    from secretops.operations import trust as operation

    session = console.open_session(stack, manifest)
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
            console.print_json({"pem": text})
        else:
            console.out.print_document(text.removesuffix("\n"))
        return ExitCode.DONE
    installed = operation.install(session.manifest, to, text)
    trusted, removed = map(str, installed.trusted), map(str, installed.removed)
    if as_json:
        console.print_json({"trusted": list(trusted), "removed": list(removed)})
        return ExitCode.DONE
    for path in trusted:
        console.out.print_document(path)
    for path in removed:
        console.err.print(f"removed {path}: no certificate in use is signed by this CA")
    console.err.print(f"-> openssl rehash {to}, once mosquitto's capath is this folder")
    return ExitCode.DONE
