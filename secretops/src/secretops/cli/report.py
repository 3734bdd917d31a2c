from __future__ import annotations

import os
import tempfile
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from secretops.cli.console import (
    AsJson,
    Journals,
    ManifestFile,
    Since,
    Stack,
    TrailFiles,
    app,
    err,
    open_session,
    out,
    print_json,
)
from secretops.errors import UsageError
from secretops.registry import with_extra

# --to for standard output.
STDOUT = Path("-")


@app.command()
def report(  # noqa: PLR0917 - typer calls it by name
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="File for the page, or - for standard output. Required without --json."
        ),
    ] = None,
    since: Since = None,
    trail: TrailFiles = None,
    journal: Journals = None,
    skip_doctor: Annotated[bool, typer.Option("--skip-doctor", help="Do not run doctor.")] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Write a report as a page of HTML.

    Contains ages, due dates, rotations, accesses and open findings. --json prints JSON.
    """
    if to is None and not as_json:
        rule, remedy = "--to FILE or --json must be set", "secretops report --to report.html"
        raise UsageError("report: --to is missing", rule=rule, remedy=remedy, code="report-target-missing")
    if to == STDOUT and as_json:
        what, rule = "--to - and --json both print", "standard output must contain only one document"
        raise UsageError(what, rule=rule, remedy="secretops report --to FILE --json", code="output-ambiguous")
    if to:
        with with_extra("report"):
            from secretops.report import page
        _check(to)
    from secretops.operations import report as operation
    from secretops.operations.audit import moment

    made = operation.report(
        open_session(stack, manifest),
        since=moment(since, datetime.now(UTC)) if since else None,
        trail=trail or (),
        journal=journal or (),
        examine=not skip_doctor,
    )
    if to == STDOUT:
        typer.echo(page(made), nl=False)
    elif to:
        _replace(to, page(made))
    if to:
        (err if as_json or to == STDOUT else out).print(f"{to}: open findings: {len(made.findings)}")
    if as_json:
        print_json(asdict(made))
    return made.exit_code


def _check(to: Path) -> None:
    if to != STDOUT:
        if to.is_symlink() or (to.exists() and not to.is_file()):
            raise _not_writable(to, "not a regular file")
        try:
            tempfile.TemporaryFile(dir=to.parent).close()
        except OSError as error:
            raise _not_writable(to, error.strerror) from None


def _replace(to: Path, text: str) -> None:
    number, name = tempfile.mkstemp(prefix=f".{to.name}.", dir=to.parent)
    try:
        with os.fdopen(number, "w", encoding="utf-8") as new:
            new.write(text)
        Path(name).replace(to)
    except OSError as error:
        Path(name).unlink(missing_ok=True)
        raise _not_writable(to, error.strerror) from None


def _not_writable(file: Path, why: str | None) -> UsageError:
    rule = "a report must go to a new or regular file, or to standard output"
    remedy = "secretops report --to FILE, with a FILE that you may write; or --to -"
    return UsageError(f"{file}: {why}", rule=rule, remedy=remedy, code="report-not-writable")
