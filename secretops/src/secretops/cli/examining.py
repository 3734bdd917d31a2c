"""The commands that examine a stack: doctor, and audit."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from secretops import redaction
from secretops.cli.console import (
    INDENT,
    LONGEST,
    AsJson,
    ManifestFile,
    Stack,
    Styled,
    app,
    err,
    notify,
    open_session,
    out,
    print_json,
    print_table,
)
from secretops.errors import SecretopsError, UsageError
from secretops.printable import printable

if TYPE_CHECKING:
    from secretops.check import Level, Repair
    from secretops.operations.doctor import Examined
    from secretops.operations.session import Session

COLOURS = {"ok": "green", "attention": "red", "unknown": "yellow"}
WIDEST_LEVEL = 9  # characters


@app.command()
def doctor(  # noqa: PLR0917 - typer calls it by name
    confirm: Annotated[
        list[str] | None,
        typer.Option(
            "--confirm",
            metavar="CHECK=WORDS",
            help="Record that you did what a check can't see: its name and your words. Repeat it for each check.",
        ),
    ] = None,
    repair: Annotated[
        bool,
        typer.Option("--repair", help="Do what secretops can mend by itself, asking before each; then look again."),
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: do all of it, and ask nobody.")] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Look at everything that the stack lives on, and say what is not as it should be. Changes nothing by itself."""
    from secretops.operations import doctor as operation

    if yes and not repair:
        raise UsageError(
            "--yes: without --repair", rule="it is what --repair asks that is answered", remedy="--repair --yes"
        )
    if repair and not yes and not sys.stdin.isatty():
        raise UsageError(
            "--repair: nobody to ask",
            rule="what it would do is asked for on a terminal, one by one",
            remedy="run it in a terminal; or let it do all that it can: --repair --yes",
        )
    session = open_session(stack, manifest)
    if confirm:
        session.platform.confirm(session.manifest.store, confirm)
    found = _examine(session, quiet=as_json)
    mendable = operation.repairs(found)
    if not repair:
        if as_json:
            print_json({"checks": _json(found)})
        elif mendable:
            notify(f"secretops doctor --repair does: {'; '.join(each.description for each in mendable)}")
        return operation.exit_code(found)
    done = [_repair(each, ask=not yes, quiet=as_json) for each in mendable]
    if any(done):
        if not as_json:
            out.print("looked at again:")
        now = _examine(session, quiet=as_json)
    else:
        now = found
        if not as_json:
            out.print("nothing was done" if mendable else "there is nothing that secretops can mend by itself")
    if as_json:
        print_json({"found": _json(found), "repairs": [each for each in done if each], "now": _json(now)})
    return operation.exit_code(now)


def _examine(session: Session, *, quiet: bool) -> list[Examined]:
    """Run all checks, and print their results unless `quiet`."""
    from secretops.check import Level
    from secretops.operations import doctor as operation

    examined, printed, skipped = [], set[tuple[str, str, str]](), list[str]()
    for name, result in operation.doctor(operation.checks(session)):
        examined.append((name, result))
        if quiet:
            continue
        if result.level is Level.UNKNOWN and result.texts in printed:  # the reason of an earlier check
            skipped.append(name)
            continue
        printed.add(result.texts)
        _print_level(result.level, f"{name}: {printable(result.value)}")
        for text in (result.rule, result.remedy and f"-> {result.remedy}"):
            if text:
                notify(f"{INDENT}{printable(text)}")
    if skipped:
        _print_level(Level.UNKNOWN, f"not looked at: {', '.join(skipped)}")
    return examined


def _print_level(level: Level, text: str) -> None:
    notify(f"{level:<{WIDEST_LEVEL}} {text}", style=COLOURS[level], styled=WIDEST_LEVEL)


def _repair(repair: Repair, *, ask: bool, quiet: bool) -> dict[str, str | None] | None:
    """Run a repair, and return its result as JSON; None if the operator declines."""
    from secretops.operations import doctor as operation

    if ask and not typer.confirm(f"{repair.description}?", err=True):
        return None
    result = operation.mend(repair)
    failed, text = isinstance(result, SecretopsError), redaction.redact(str(result))
    if not quiet:
        for line in f"{'not done' if failed else 'done'}: {text}".splitlines():
            (err if failed else out).print(printable(line))
    return {"repair": repair.description, "done": None if failed else text, "error": text if failed else None}


def _json(examined: Iterable[Examined]) -> list[dict[str, str | None]]:
    return [{"check": name, **result.as_json} for name, result in examined]


@app.command()
def audit(  # noqa: PLR0917 - typer calls it by name
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE…", help="Logs of the store's trail, .gz too, or - for standard input."),
    ] = None,
    since: Annotated[str | None, typer.Option("--since", help="24h, 7d, 90min, or an ISO 8601 time (UTC).")] = None,
    secret: Annotated[str | None, typer.Option("--secret", help="Only this secret, or the place it lies in.")] = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Only this reader; * and ? stand for others.")] = None,
    given: Annotated[
        str | None,
        typer.Option(
            "--given",
            metavar="SECRET[@VERSION]",
            help="Only store vault: clients that read or wrote this value, at any path.",
        ),
    ] = None,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Who read and changed what, when and from where; the undeclared first. JSON is a line a row, then a summary."""
    from secretops.operations import audit as operation
    from secretops.operations.stack import load_manifest
    from secretops.trails import ALL

    begin = operation.moment(since, datetime.now(UTC)) if since else None
    if given:
        session = open_session(stack, manifest)
        name, _, version = given.partition("@")
        found = session.manifest
        trail = session.platform.open_value_trail(session, session.secret(name).name, version)
    else:
        found, trail = load_manifest(stack, manifest), None
    view = operation.audit(found, files or (), since=begin, secret=secret, reader=reader, trail=trail)
    if as_json:
        for row in view.rows:
            print_json({**asdict(row), "outcome": row.outcome}, indent=None)
        summary = {
            "lines": view.lines,
            "broken": view.broken,
            "broken_in": view.broken_in,
            "not_whole": view.not_whole,
            "holding_values": view.bodies,
        }
        print_json(summary, indent=None)
        return view.exit_code
    headings = ("declared", "reader", "secret", "operation", "outcome", "times", "first (UTC)", "last (UTC)", "from")
    rows: list[tuple[str | Styled, ...]] = [
        (
            "yes" if row.declared else Styled("NO", "red" if row.alarming else "yellow"),
            printable(row.reader)[:LONGEST],
            "* (all)" if row.secret == ALL else printable(row.secret),
            row.operation,
            row.outcome,
            str(row.count),
            f"{row.first:%Y-%m-%d %H:%M:%S}",
            f"{row.last:%Y-%m-%d %H:%M:%S}",
            printable("; ".join(row.sources))[:LONGEST],
        )
        for row in view.rows
    ]
    if rows:
        print_table(headings, rows)
    else:
        out.print("no access to the stack's secrets is on record here")
    if view.broken:
        where = printable(operation.named(view.broken_in))
        err.print(f"{view.broken} of {view.lines} lines are no record, and are not counted: {where}")
    if view.not_whole:
        count = f"{len(view.not_whole)} of the files" if len(view.not_whole) > 1 else "a file"
        err.print(
            f"{count} could not be read whole: {printable(operation.named(view.not_whole))}\n"
            "what is missing may be what matters\n"
            "-> get it again, then audit all of them together",
        )
    if view.bodies:
        err.print(
            f"{view.bodies} records hold a value: whoever reads this log can read it\n"
            "a trail says who and what, never the value\n"
            "-> take the stack's policy (level Metadata), then rotate what was read; guard or remove this log"
        )
    return view.exit_code
