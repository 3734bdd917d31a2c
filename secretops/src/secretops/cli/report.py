"""The command that writes a report of a stack."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from secretops.cli.console import AsJson, ManifestFile, Stack, app, err, open_session, out, print_json
from secretops.errors import UsageError
from secretops.registry import with_extra

# --to for standard output, and as many links as Linux follows (path_resolution(7)).
STDOUT, MOST_LINKS = Path("-"), 40


@app.command()
def report(  # noqa: PLR0917 - typer calls it by name
    to: Annotated[
        Path | None,
        typer.Option(
            "--to", metavar="FILE", help="Where to write the page; - is standard output. Required without --json."
        ),
    ] = None,
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
            "report: --to is missing",
            rule="the page is written to --to FILE, or to standard output with --to -; --json alone prints JSON",
            remedy="secretops report --to report.html",
        )
    target = _target(to) if to else None
    if target is STDOUT and as_json:
        raise UsageError(
            "--to and --json: both on standard output", rule="it carries one document", remedy="--to FILE --json"
        )
    if target:
        with with_extra("report"):
            from secretops.report import page
        _check(target)
    from secretops.operations import report as operation
    from secretops.operations.audit import moment

    made = operation.report(
        open_session(stack, manifest),
        since=moment(since, datetime.now(UTC)) if since else None,
        trail=trail or (),
        journal=journal or (),
        examine=not skip_doctor,
    )
    if target:
        _write(target, page(made))
        summary = err if as_json or target is STDOUT else out
        summary.print(f"{to}: open findings: {len(made.findings)}")
    if as_json:
        document = asdict(made)
        if made.reads.view:
            rows = [{**asdict(row), "outcome": row.outcome} for row in made.reads.view.rows]
            document["reads"]["view"]["rows"] = rows
        print_json(document)
    return made.exit_code


def _target(to: Path) -> Path:
    """Resolve links, and return STDOUT for standard output. Raises UsageError for another account's link."""
    if to == STDOUT:
        return STDOUT
    with _refusals(to):
        with contextlib.suppress(OSError, ValueError):  # such as /dev/stdout
            if os.path.samestat(to.stat(), os.fstat(sys.stdout.fileno())):
                return STDOUT
        target = to
        for _ in range(MOST_LINKS):
            if not target.is_symlink():
                return target
            owner = target.lstat().st_uid
            if owner not in (os.geteuid(), 0):
                raise UsageError(
                    f"{target} is a symbolic link that belongs to uid {owner}",
                    rule="only your own links and root's are followed: another account's may lead to any of your files",
                    remedy="name the file itself, or another folder",
                )
            following = target.parent / target.readlink()
            if target.exists() and not os.path.lexists(following):
                return target  # /proc/PID/fd/N is not the path of an open file
            target = following
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_special(path: Path) -> bool:
    return path.exists() and not path.is_file()


def _check(target: Path) -> None:
    """Raise UsageError if the page cannot be written, before the report is made."""
    if target is STDOUT:
        return
    with _refusals(target):
        if _is_special(target):
            kind = target.stat().st_mode
            if stat.S_ISDIR(kind):
                raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
            if not (stat.S_ISFIFO(kind) or stat.S_ISCHR(kind)):
                raise OSError(errno.EINVAL, "a socket or a block device")
            if not os.access(target, os.W_OK):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
            return
        with tempfile.TemporaryFile(dir=target.parent):
            pass


def _write(target: Path, text: str) -> None:
    """Write the page. A regular file is replaced atomically, with mode 600."""
    if target is STDOUT:
        typer.echo(text, nl=False)
        return
    with _refusals(target):
        if _is_special(target):
            number = os.open(target, os.O_WRONLY | os.O_NOCTTY | os.O_CLOEXEC)
            with os.fdopen(number, "w", encoding="utf-8") as special:
                special.write(text)
            return
        number, name = tempfile.mkstemp(prefix=f".{target.name}.", suffix=".new", dir=target.parent)
        try:
            with os.fdopen(number, "w", encoding="utf-8") as new:
                new.write(text)
            Path(name).replace(target)
        except OSError:
            Path(name).unlink(missing_ok=True)
            raise


@contextlib.contextmanager
def _refusals(to: Path) -> Iterator[None]:
    """Raise an OSError about `to` as UsageError."""
    try:
        yield
    except OSError as error:
        raise UsageError(
            f"{to}: {error.strerror}",
            rule="a report is written to a regular file, a FIFO, a character device or standard output",
            remedy="secretops report --to FILE, with a file that you may write; or --to -",
        ) from None
