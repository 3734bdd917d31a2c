"""The command that looks back: who read and changed what."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

import typer

from secretops.cli.console import (
    AsJson,
    ManifestFile,
    Stack,
    Styled,
    app,
    err,
    open_session,
    out,
    print_json,
    print_table,
)
from secretops.printable import printable

LONGEST = 200
"""Characters that are shown of a name or a source that somebody else chose."""


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
    from secretops.trails.protocol import ALL

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
