"""What every command of the line shares: the app, its options, and how it prints. Imports nothing that takes long."""

from __future__ import annotations

import json
import shutil
import sys
import textwrap
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from secretops.errors import SecretopsError
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
"""Characters that rich takes every line for fitting in: it folds none, which is done here."""

INDENT = " " * 10
"""Where a line goes on that is wider than the terminal: what follows doctor's levels begins there."""

GAP = "  "
"""Between two columns."""

HEIGHT = 100
"""Lines. Nothing hangs on it, but rich takes a terminal that calls itself dumb for 80 wide unless both are given."""

out = Console(highlight=False, soft_wrap=True, width=WIDEST, height=HEIGHT)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def open_session(stack: str | None, file: Path | None, role: str = "operator") -> Session:
    """The stack that the options name, else the selected one."""
    return Session.open(load_manifest(stack, file), role=role)


def ask(question: str, *, hidden: bool = False) -> str:
    """What somebody types. Raises SecretopsError where they stop here."""
    try:
        return str(typer.prompt(question, hide_input=hidden, err=True))
    except typer.Abort:
        raise SecretopsError("stopped at the question") from None


def tell(text: str, *, style: str = "", styled: int | None = None) -> None:
    """On standard output; `style` is of all, or of the first `styled` characters. On a terminal lines are folded at
    words; into a file, or another program, each goes as it is.
    """
    shown = Text("\n".join(_folded(line) for line in text.split("\n")))
    shown.stylize(style, 0, styled)
    out.print(shown)


def _folded(line: str) -> str:
    if (columns := _columns()) is None:
        return line
    return textwrap.fill(
        line,
        columns,
        subsequent_indent=INDENT,
        expand_tabs=False,
        replace_whitespace=False,
        break_long_words=False,
        break_on_hyphens=False,
    )


def print_table(headings: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
    """Columns as wide as their widest, without padding at the end. Nothing is cut off: on a terminal that is narrower,
    every row goes on in a second line, under headings of its own.
    """
    cells = [[each if isinstance(each, Text) else Text(each) for each in row] for row in (headings, *rows)]
    widths = [max(cell.cell_len for cell in column) for column in zip(*cells, strict=True)]
    parts = list(pairwise(_breaks(widths)))
    for row in cells:
        for begin, end in parts:
            line = Text(INDENT if begin else "")
            for cell, width in zip(row[begin:end], widths[begin:end], strict=True):
                line.append_text(cell).append(" " * (width - cell.cell_len + len(GAP)))
            line.rstrip()
            out.print(line)


def _breaks(widths: Sequence[int]) -> list[int]:
    """The columns that begin a line, and the end of the last."""
    columns, breaks, used = _columns() or WIDEST, [0], 0
    for index, width in enumerate(widths):
        if index > breaks[-1] and used + width > columns:
            breaks.append(index)
            used = len(INDENT)
        used += width + len(GAP)
    return [*breaks, len(widths)]


def _columns() -> int | None:
    """How wide the terminal is that standard output goes to. None where it goes elsewhere."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def print_json(document: Any, *, indent: int | None = 2) -> None:
    """On standard output, as it is: no terminal's width folds it."""
    typer.echo(json.dumps(document, indent=indent, default=lambda value: value.isoformat()))
