"""The command that writes down how a stack stands, for whoever has to show it."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from secretops.cli.console import AsJson, ManifestFile, Stack, app, err, open_session, out, print_json
from secretops.errors import UsageError
from secretops.operations.audit import moment
from secretops.stores import lacking

if TYPE_CHECKING:
    from secretops.operations.report import Report


@app.command()
def report(  # noqa: PLR0917 - typer calls it by name
    to: Annotated[Path | None, typer.Option("--to", metavar="FILE", help="Where the page is written.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Steps and reads from then on: 24h, 90d, or an ISO 8601 time (UTC).")
    ] = None,
    trail: Annotated[
        list[str] | None,
        typer.Option("--trail", metavar="FILE", help="A log of the store's trail, as audit reads it. Repeatable."),
    ] = None,
    journal: Annotated[
        list[str] | None,
        typer.Option("--journal", metavar="FILE", help="A log of what calls the rotator, or -. Repeatable."),
    ] = None,
    skip_doctor: Annotated[bool, typer.Option("--skip-doctor", help="Do not look at what the stack lives on.")] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """One page of HTML, or with --json the same as JSON: ages, what comes, what was done, who read, what is open."""
    if to is None and not as_json:
        raise UsageError(
            "a report to where?",
            rule="--to FILE is where its page is written; --json prints it as JSON",
            remedy="secretops report --to report.html",
        )
    if to:
        try:
            from secretops.report import page
        except ModuleNotFoundError as error:
            raise lacking(error, "report") from None
        _check(to)
    from secretops.operations import report as operation

    made = operation.report(
        open_session(stack, manifest),
        since=moment(since, datetime.now(UTC)) if since else None,
        trail=trail or (),
        journal=journal or (),
        examine=not skip_doctor,
    )
    if to:
        _write(to, page(made))
        (err if as_json else out).print(f"{to}: open findings: {len(made.findings)}", markup=False)
    if as_json:
        print_json(_document(made))
    return made.exit_code


def _document(made: Report) -> dict[str, Any]:
    """It as JSON: what a row of the reads adds up to is told, too."""
    document = asdict(made)
    if made.reads.view:
        rows = [{**asdict(row), "outcome": row.outcome} for row in made.reads.view.rows]
        document["reads"]["view"]["rows"] = rows
    return document


def _check(to: Path) -> None:
    """Raise UsageError where no page can be written, before anybody waits for what it says."""
    with _told(to):
        if to.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with tempfile.TemporaryFile(dir=to.parent):
            pass


def _write(to: Path, text: str) -> None:
    """The whole page or none, for this account alone: what stood there is replaced by it at once."""
    with _told(to):
        number, name = tempfile.mkstemp(prefix=f".{to.name}.", suffix=".new", dir=to.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as new:
                new.write(text)
            Path(name).replace(to)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _told(to: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{to}: {error.strerror}", rule="a report is written into a file", remedy="name one that you may write"
        ) from None
