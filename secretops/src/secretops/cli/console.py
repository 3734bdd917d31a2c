"""What every command of the line shares: the app, its options, and how it prints. Imports nothing that takes long."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from secretops.operations.session import Session
from secretops.operations.stack import load_manifest

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Live with the secrets of a Coreflux MCP server. Speaks of the selected Pulumi stack unless told another.",
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 needs attention, 4 lease held, 5 waiting for a value.",
)

Stack = Annotated[str | None, typer.Option("--stack", "-s", help="Stack, instead of the selected one.")]
ManifestFile = Annotated[
    Path | None,
    typer.Option("--manifest", envvar="SECRETOPS_MANIFEST", help="Manifest file, where there is no Pulumi."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]

WIDEST = 400
"""Characters that a table may be wide: no name is cut off, a narrow terminal wraps its lines."""

HEIGHT = 100
"""Lines. Nothing hangs on it, but rich takes a terminal that calls itself dumb for 80 wide unless both are given."""

out = Console(highlight=False, soft_wrap=True, width=WIDEST, height=HEIGHT)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def open_session(stack: str | None, file: Path | None, role: str = "operator") -> Session:
    """The stack that the options name, else the selected one."""
    return Session.open(load_manifest(stack, file), role=role)


def print_json(document: Any, *, indent: int | None = 2) -> None:
    """On standard output, as it is: no terminal's width folds it."""
    typer.echo(json.dumps(document, indent=indent, default=lambda value: value.isoformat()))
