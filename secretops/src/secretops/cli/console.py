"""The typer app, the common options, and printing. Imports nothing slow."""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from secretops import signals
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.printable import Screen, printable
from secretops.registry import PLATFORMS

if TYPE_CHECKING:
    from secretops.operations.session import Session

# Version of all JSON output, raised when a key is removed or changes its meaning.
SCHEMA = 1

# Columns when standard output is no terminal and COLUMNS is not set.
PIPED_COLUMNS = 80

# Indent of a wrapped line, which is where the text after doctor's levels begins; and the gap between two columns.
INDENT, GAP = " " * 10, "  "

# A word and the space before it. A text in quotes is one word.
_WORD = re.compile(r"""\s*(?:"[^"]*"|(?<!\S)'[^']*'|(?<!\S)`[^`]*`|\S)+""")

# Ids of versions and of an agent's keys, and how many characters of one a narrow table has.
_ID = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{16}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SHORT_ID = 20

# First words of the commands in remedies.
_COMMANDS = frozenset(("chmod", "chown", "git", "mosquitto_ctrl", "openssl", "pulumi", "secretops")).union(
    platform.program for platform in PLATFORMS.values()
)

# ECMA-48, Select Graphic Rendition.
_CODES = {"": "", "green": "32", "italic": "3", "red": "31", "yellow": "33"}


def _check_name(name: str | None) -> str | None:
    if name == "":
        rule, remedy = (
            "the name must not be empty; a frequent cause is an unset variable",
            "pass a name, or omit --stack for the selected stack",
        )
        raise UsageError("--stack has an empty name", rule=rule, remedy=remedy, code="stack-name-empty")
    return name


Stack = Annotated[
    str | None, typer.Option("--stack", "-s", callback=_check_name, help="Use this stack, not the selected one.")
]
ManifestFile = Annotated[
    Path | None,
    typer.Option("--manifest", envvar="SECRETOPS_MANIFEST", help="Read the manifest from a file, without Pulumi."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")]
Since = Annotated[str | None, typer.Option("--since", help="Start: 24h, 7d, 90min, or an ISO 8601 time (UTC).")]
TrailFiles = Annotated[
    list[str] | None,
    typer.Option("--trail", metavar="FILE", help="A log of the trail, as for secretops audit. Repeatable."),
]

Journals = Annotated[
    list[str] | None,
    typer.Option("--journal", metavar="FILE", help="A log of the rotator; - reads standard input. Repeatable."),
]


class _Group(TyperGroup):
    """A command group that also accepts --stack, --manifest and --json before a command, and passes them to the
    command."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name, command, rest = super().resolve_command(ctx, args)
        return name, command, [*_typed(ctx), *rest]


def _typed(context: typer.Context) -> list[str]:
    names = {option.name: option.opts[0] for option in context.command.params}
    typed = {
        names[name]: value
        for name, value in context.params.items()
        if getattr(context.get_parameter_source(name), "name", "") == "COMMANDLINE"
    }
    return [part for option, value in typed.items() for part in ([option] if value is True else [option, str(value)])]


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("coreflux-secretops")
        except PackageNotFoundError:  # installed by the wheel for other Pulumi programs
            number = version("coreflux-mcp-secrets")
        typer.echo(f"secretops {number}")
        raise typer.Exit


def common_options(
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    """Accept --version, --stack, --manifest and --json. _Group passes the last three to the command."""


def make_group(help: str, **options: Any) -> typer.Typer:
    return typer.Typer(
        cls=_Group,
        callback=common_options,
        no_args_is_help=True,
        suggest_commands=False,  # typer would also suggest dissimilar commands
        rich_markup_mode=None,
        help=help,
        context_settings={"help_option_names": ["-h", "--help"]},
        **options,
    )


app = make_group(
    "Operate the secrets of a Coreflux MCP server. Uses the selected Pulumi stack unless --stack is set.",
    pretty_exceptions_enable=False,
    epilog="Exit codes: 0 done, 1 failed, 2 usage, 3 needs attention, 4 lease held, 5 waiting for a value, "
    "129, 130, 143 stopped by a signal, 141 output closed.",
)


class Printer:
    # `indent` precedes each line that continues another.
    def __init__(self, stream: str, indent: str) -> None:
        self._name, self._indent = stream, indent

    def print(self, text: str = "", *, style: str = "", styled: int | None = None) -> None:
        """Wrap and print `text`. `style` applies to its first `styled` characters, or to all of it."""
        text = "\n".join(_fold(line, self._indent) for line in text.split("\n"))
        stream = getattr(sys, self._name)
        _write(stream, text[:styled], style)
        stream.write("\n" if styled is None else f"{text[styled:]}\n")

    def print_document(self, text: str) -> None:
        # for programs: not folded
        getattr(sys, self._name).write(f"{text}\n")


out = Printer("stdout", INDENT)
err = Printer("stderr", "   ")


def _write(stream: Any, text: str, style: str) -> None:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    if style and isinstance(stream, Screen) and stream.isatty() and not plain:
        stream.write_styled(text, _CODES[style])
    else:
        stream.write(text)


@dataclass(frozen=True)
class Styled:
    text: str
    style: str


def open_session(stack: str | None, file: Path | None, role: str = "operator") -> Session:
    from secretops.operations.session import Session
    from secretops.operations.stack import load_manifest

    return Session.open(load_manifest(stack, file), role=role)


def ask(question: str, *, hidden: bool = False) -> str:
    """Prompt the operator. Raises SecretopsError at the end of input."""
    try:
        return str(typer.prompt(question, hide_input=hidden, err=True))
    except typer.Abort:
        if signals.arrived():
            raise KeyboardInterrupt from None
        raise SecretopsError(
            "interrupted at the prompt", remedy="run the command again", code="prompt-interrupted"
        ) from None


def confirm(command: str, cost: str, name: str, *, which: str = "the secret's name", reason: str, preview: str) -> None:
    if not sys.stdin.isatty():
        what, rule, remedy = (
            f"{command}: standard input is not a terminal, so nobody can confirm",
            f"a person must confirm this command: {reason}",
            f"{preview}; to confirm without a prompt, add --yes",
        )
        raise UsageError(what, rule=rule, remedy=remedy, code="confirmation-missing")
    err.print(cost)
    with signals.BeforeChanges():
        answer = ask(f"Type {which} to confirm")
    if answer != name:
        rule = f"the answer must be {which}"
        what = f"{command}: the answer is another name; nothing was done"
        raise UsageError(what, rule=rule, remedy=f"run the command again, and type {which}", code="confirmation-wrong")


def _fold(line: str, indent: str) -> str:
    """Wrap a line at the terminal's width. A command that fits on a line is not split, so that it can be copied."""
    lines, columns, own = [""], _columns(), line[: len(line) - len(line.lstrip())]
    indent = max(indent, own if len(own) >= len(indent) else f"{own}  ", key=len)
    if own and line.startswith("-> ", len(own)):
        indent = f"{indent}   "
    for part in _parts(line, columns - len(indent)):
        if lines[-1].strip() and len(lines[-1]) + len(part) > columns:
            lines.append(f"{indent}{part.lstrip()}")
        else:
            lines[-1] += part
    return "\n".join(lines)


def _parts(line: str, longest: int) -> list[str]:
    """Split a line into words, each with the space before it. A command with its arguments, up to the next punctuation,
    is one word if it has at most `longest` characters."""
    parts: list[list[str]] = []
    in_command = False
    for word in _WORD.findall(line):
        if in_command:
            parts[-1].append(word)
        else:
            parts.append([word])
        in_command = (in_command or word.strip(" (") in _COMMANDS) and word[-1] not in ",;:)"
    whole = ["".join(words) for words in parts]
    return [
        each
        for text, words in zip(whole, parts, strict=True)
        for each in ([text] if len(text.strip()) <= longest else words)
    ]


Columns = dict[str, list[Styled]]


def print_table(
    headings: Sequence[str],
    rows: Sequence[Sequence[str | Styled]],
    *,
    cut: Mapping[str, Callable[[str], str]] | None = None,
    drop: Sequence[str] = (),
    folds: bool = False,
) -> None:
    # On a narrow terminal, `cut` shortens cells, columns of `drop` are omitted one by one, and at last each row
    # continues on further lines. With `folds`, the last column is a text that may continue on further lines. A pipe
    # gets whole cells and all columns.
    if not (sys.stdout.isatty() or os.environ.get("COLUMNS")):
        cut, drop = {}, ()
    table = zip(*((_cell(each) for each in row) for row in (headings, *rows)), strict=True)
    columns = _narrowed(dict(zip(headings, map(list, table), strict=True)), cut or {}, drop, folds=folds)
    widths = _widths(columns, folds=folds)
    parts = list(pairwise(_breaks(widths)))
    last = parts[-1][0]
    before = len(INDENT) * (last > 0) + sum(width + len(GAP) for width in widths[last:-1])
    for row in zip(*columns.values(), strict=True):
        cells, text = list(row), ""
        if folds and before + _width(row[-1].text) > _columns():
            cells[-1], text = Styled("", ""), row[-1].text
        for begin, end in parts:
            if any(cell.text for cell in cells[begin:end]):
                _print_row(cells[begin:end], widths[begin:end], INDENT if begin else "")
        if text:
            out.print(f"{INDENT}{text}")


def _narrowed(
    columns: Columns, cut: Mapping[str, Callable[[str], str]], drop: Sequence[str], *, folds: bool
) -> Columns:
    if _fits(columns, folds=folds):
        return columns
    short = {
        name: [cells[0], *(Styled(cut[name](cell.text), cell.style) for cell in cells[1:])] if name in cut else cells
        for name, cells in columns.items()
    }
    left = dict(short)
    for name in drop:
        if not _fits(left, folds=folds):
            left.pop(name, None)
    return left if _fits(left, folds=folds) else short


def _fits(columns: Columns, *, folds: bool) -> bool:
    return not _breaks(_widths(columns, folds=folds))[1:-1]


def _widths(columns: Columns, *, folds: bool) -> list[int]:
    widths = [max(_width(cell.text) for cell in cells) for cells in columns.values()]
    if folds:
        widths[-1] = _width(next(reversed(columns.values()))[0].text)  # the heading's
    return widths


def cut_ids(text: str) -> str:
    return _ID.sub(lambda found: f"{found[0][:SHORT_ID]}…", text)


def _print_row(cells: Sequence[Styled], widths: Sequence[int], indent: str) -> None:
    stream, gap = sys.stdout, indent
    for cell, width in zip(cells, widths, strict=True):
        stream.write(gap if cell.text else "")
        _write(stream, cell.text, cell.style)
        rest = " " * (width - _width(cell.text) + len(GAP))
        gap = rest if cell.text else gap + rest
    stream.write("\n")


def _cell(content: str | Styled) -> Styled:
    text, style = (content.text, content.style) if isinstance(content, Styled) else (content, "")
    return Styled(printable(text), style)


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    return sum((unicodedata.east_asian_width(each) in "FW") + (not unicodedata.combining(each)) for each in text)


def _breaks(widths: Sequence[int]) -> list[int]:
    columns, breaks, used = _columns(), [0], 0
    for index, width in enumerate(widths):
        if index > breaks[-1] and used + width > columns:
            breaks.append(index)
            used = len(INDENT)
        used += width + len(GAP)
    return [*breaks, len(widths)]


def _columns() -> int:
    return shutil.get_terminal_size((PIPED_COLUMNS, 0)).columns


def print_result(text: str, document: Mapping[str, Any], as_json: bool) -> int:
    if as_json:
        print_json(document)
    else:
        out.print(text)
    return ExitCode.DONE


def print_json(document: Mapping[str, Any], *, indent: int | None = 2) -> None:
    """Print a JSON object with the version of its schema."""
    out.print_document(
        json.dumps({"schema": SCHEMA, **document}, indent=indent, default=lambda value: value.isoformat())
    )
