from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from secretops import redaction
from secretops.cli import console
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.formats import counted
from secretops.printable import printable

if TYPE_CHECKING:
    from secretops.check import Level, Repair
    from secretops.operations.doctor import Examined
    from secretops.operations.session import Session

COLORS = {"ok": "green", "attention": "red", "unknown": "yellow"}
WIDEST_LEVEL = 9  # characters


@console.app.command()
def doctor(  # noqa: PLR0917 - typer calls it by name
    confirm: Annotated[
        list[str] | None,
        typer.Option("--confirm", metavar="CHECK=TEXT", help="Record that you verified what CHECK cannot see."),
    ] = None,
    repair: Annotated[bool, typer.Option("--repair", help="Run repairs, with a prompt for each; check again.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --repair: run all repairs without a prompt.")] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Check the store, the broker, the trail and every secret.

    Prints findings with remedies, and changes nothing without --repair.
    """
    from secretops.operations import doctor as operation

    if yes and not repair:
        what, rule = "--yes without --repair", "--yes requires --repair, whose prompts it answers"
        raise UsageError(what, rule=rule, remedy="secretops doctor --repair --yes", code="yes-without-repair")
    if repair and not yes and not sys.stdin.isatty():
        rule, remedy = (
            "a person must confirm each repair",
            "run the command in a terminal; or, to run all repairs without a prompt: secretops doctor --repair --yes",
        )
        raise UsageError(
            "--repair: standard input is not a terminal, so nobody can confirm",
            rule=rule,
            remedy=remedy,
            code="confirmation-missing",
        )
    session = console.open_session(stack, manifest)
    if confirm:
        session.platform.confirm(session.manifest.store, confirm)
    found = _examine(session, quiet=as_json)
    repairs = operation.repairs(found)
    if not repair:
        if as_json:
            console.print_json({"checks": _json(found)})
        elif repairs:
            console.out.print(f"secretops doctor --repair runs: {'; '.join(each.description for each in repairs)}")
        return operation.exit_code(found)
    done = [each for one in repairs if (each := _repair(one, ask=not yes, quiet=as_json))]
    if not as_json:
        console.out.print("checked again:" if done else "no repair was run" if repairs else "nothing to repair")
    now = _examine(session, quiet=as_json) if done else found
    if as_json:
        console.print_json({"found": _json(found), "repairs": done, "now": _json(now)})
    return operation.exit_code(now)


def _examine(session: Session, *, quiet: bool) -> list[Examined]:
    from secretops.check import Level
    from secretops.operations import doctor as operation

    examined, printed, skipped = [], set[tuple[str, str, str]](), list[str]()
    for name, result in operation.doctor(operation.checks(session)):
        examined.append((name, result))
        if quiet:
            continue
        if result.level is Level.UNKNOWN and result.texts in printed:  # an earlier check has printed this reason
            skipped.append(name)
            continue
        printed.add(result.texts)
        _print_level(result.level, f"{name}: {printable(result.value)}")
        for text in (result.rule, result.remedy and f"-> {result.remedy}"):
            if text:
                console.out.print(f"{console.INDENT}{printable(text)}")
    if skipped:
        _print_level(Level.UNKNOWN, f"not checked: {', '.join(skipped)}")
    return examined


def _print_level(level: Level, text: str) -> None:
    console.out.print(f"{level:<{WIDEST_LEVEL}} {text}", style=COLORS[level], styled=WIDEST_LEVEL)


def _repair(repair: Repair, *, ask: bool, quiet: bool) -> dict[str, str | None] | None:
    from secretops.operations import doctor as operation

    if ask and not typer.confirm(f"{repair.description}?", err=True):
        return None
    result = operation.run_repair(repair)
    failed, text = isinstance(result, SecretopsError), redaction.redact(str(result))
    if not quiet:
        for line in f"{'failed' if failed else 'done'}: {text}".splitlines():
            (console.err if failed else console.out).print(printable(line))
    return {"repair": repair.description, "done": None if failed else text, "error": text if failed else None}


def _json(examined: Sequence[Examined]) -> list[dict[str, str | None]]:
    return [{"check": name, **result.as_json} for name, result in examined]


@console.app.command()
def audit(  # noqa: PLR0917 - typer calls it by name
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILE…", help="Logs of the store's trail, .gz too, or - for standard input."),
    ] = None,
    since: console.Since = None,
    secret: Annotated[
        str | None, typer.Option("--secret", help="Only this secret, by its name in the stack or in the store.")
    ] = None,
    reader: Annotated[str | None, typer.Option("--reader", help="Only this reader; * and ? are wildcards.")] = None,
    value_of: Annotated[
        str | None,
        typer.Option(
            "--value-of", metavar="SECRET[@VERSION]", help="Vault: only clients that read or wrote this value."
        ),
    ] = None,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """List who read and changed which secret.

    Undeclared readers come first. --json prints a line per row, then a summary.
    """
    from secretops.operations import audit as operation
    from secretops.operations.stack import load_manifest

    begin = operation.moment(since, datetime.now(UTC)) if since else None
    if value_of:
        session = console.open_session(stack, manifest)
        name, _, version = value_of.partition("@")
        found = session.manifest
        trail = session.platform.open_value_trail(session, session.secret(name).name, version)
    else:
        found, trail = load_manifest(stack, manifest), None
    view = operation.audit(found, files or (), since=begin, secret=secret, reader=reader, trail=trail)
    if as_json:
        for row in view.rows:
            console.print_json(asdict(row), indent=None)
        summary = {name: getattr(view, name) for name in ("lines", "broken", "broken_in", "not_whole")}
        console.print_json({**summary, "holding_values": view.bodies}, indent=None)
        return view.exit_code
    rows: list[tuple[str | console.Styled, ...]] = []
    for row in view.rows:
        declared, *rest = row.cells
        color = "" if row.declared else "red" if row.alarming else "yellow"
        rows.append((console.Styled(declared, color), *rest))
    if rows:
        without_seconds = dict.fromkeys(("first (UTC)", "last (UTC)"), lambda text: text[: len("2026-01-31 12:00")])
        drop = ("first (UTC)", "from", "times")
        console.print_table(operation.HEADINGS, rows, cut=without_seconds, drop=drop)
    else:
        console.out.print("no access to the stack's secrets is recorded in these logs")
    if view.broken:
        where = printable(operation.named(view.broken_in))
        lines = counted(view.lines, "line", "lines")
        console.err.print(f"skipped {view.broken} of {lines} (not a record): {where}")
    for problem in view.problems:
        console.err.print(f"{printable(problem.value)}\n{problem.rule}\n-> {problem.remedy}")
    return view.exit_code


@console.app.command()
def history(  # noqa: PLR0917 - typer calls it by name
    name: Annotated[str, typer.Argument(help="The secret, for example mqtt.")],
    since: console.Since = None,
    journal: console.Journals = None,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """List a secret's versions, and the steps of its rotations. Prints times, actors and outcomes, never a value."""
    from secretops.operations import history as operation
    from secretops.operations.audit import moment

    begin = moment(since, datetime.now(UTC)) if since else None
    versions, found = operation.of_secret(console.open_session(stack, manifest), name, journal or (), begin)
    if as_json:
        listed = [asdict(version) for version in versions], [asdict(entry) for entry in found.entries]
        console.print_json({"secret": name, "versions": listed[0], "steps": listed[1], "lacking": found.lacking})
        return ExitCode.DONE
    rows = [(one.id, one.stage, one.user or "-", *map(_minute, (one.published, one.retired))) for one in versions]
    cut = {"version": console.cut_ids, "user": console.cut_ids}
    if rows:  # the steps have both times, too
        headings = ("version", "stage", "user", "published", "retired")
        console.print_table(headings, rows, cut=cut, drop=("published", "retired"))
    steps = [(_minute(one.time), one.step, one.version, one.actor or "-", one.outcome) for one in found.entries]
    if steps:
        console.print_table(("time (UTC)", "step", "version", "by", "outcome"), steps, cut=cut, folds=True)
    else:
        console.out.print(f"{name}: no step is on record")
    if found.lacking:
        console.out.print(printable(found.lacking))
    return ExitCode.DONE


def _minute(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M}" if time else "-"
