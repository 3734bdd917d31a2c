"""The command that looks whether everything is as it should be, and mends what it is told to."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from secretops import redaction
from secretops.cli.console import INDENT, AsJson, ManifestFile, Stack, app, err, open_session, out, print_json, tell
from secretops.errors import SecretopsError, UsageError
from secretops.printable import printable

if TYPE_CHECKING:
    from secretops.check import Level, Repair
    from secretops.operations.doctor import Examined
    from secretops.operations.session import Session

COLOURS = {"ok": "green", "attention": "red", "unknown": "yellow"}
WIDEST_LEVEL = 9
"""Characters, so that what follows begins in one column."""


@app.command()
def doctor(  # noqa: PLR0917 - typer calls it by name
    confirm: Annotated[
        list[str] | None,
        typer.Option(
            "--confirm",
            metavar="CHECK=WORDS",
            help="Store kubernetes alone: audit=WORDS or encryption-at-rest=WORDS records that you have seen to it.",
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
        operation.confirm(session, confirm)
    found = _examine(session, quiet=as_json)
    mendable = operation.repairs(found)
    if not repair:
        if as_json:
            print_json({"checks": _shown(found)})
        elif mendable:
            tell(f"secretops doctor --repair does: {'; '.join(each.words for each in mendable)}")
        return operation.exit_code(found)
    done = [_mend(each, ask=not yes, quiet=as_json) for each in mendable]
    if any(done):
        if not as_json:
            out.print("looked at again:")
        now = _examine(session, quiet=as_json)
    else:
        now = found
        if not as_json:
            out.print("nothing was done" if mendable else "there is nothing that secretops can mend by itself")
    if as_json:
        print_json({"found": _shown(found), "repairs": [each for each in done if each], "now": _shown(now)})
    return operation.exit_code(now)


def _examine(session: Session, *, quiet: bool) -> list[Examined]:
    """What all checks find, asked anew; printed as it comes unless `quiet`."""
    from secretops.check import Level
    from secretops.operations import doctor as operation

    examined, told, skipped = [], set[tuple[str, str, str]](), list[str]()
    for name, result in operation.doctor(operation.checks(session)):
        examined.append((name, result))
        if quiet:
            continue
        if result.level is Level.UNKNOWN and result.texts in told:  # the same that kept another from looking
            skipped.append(name)
            continue
        told.add(result.texts)
        _tell(result.level, f"{name}: {printable(result.value)}")
        for text in (result.rule, result.remedy and f"-> {result.remedy}"):
            if text:
                tell(f"{INDENT}{printable(text)}")
    if skipped:
        _tell(Level.UNKNOWN, f"not looked at: {', '.join(skipped)}")
    return examined


def _tell(level: Level, text: str) -> None:
    tell(f"{level:<{WIDEST_LEVEL}} {text}", style=COLOURS[level], styled=WIDEST_LEVEL)


def _mend(repair: Repair, *, ask: bool, quiet: bool) -> dict[str, str | None] | None:
    """What came of it, as JSON has it; None where the operator did not want it."""
    from secretops.operations import doctor as operation

    if ask and not typer.confirm(f"{repair.words}?", err=True):
        return None
    came = operation.mend(repair)
    failed, text = isinstance(came, SecretopsError), redaction.redact(str(came))
    if not quiet:
        for line in f"{'not done' if failed else 'done'}: {text}".splitlines():
            (err if failed else out).print(printable(line))
    return {"repair": repair.words, "done": None if failed else text, "error": text if failed else None}


def _shown(examined: Iterable[Examined]) -> list[dict[str, str | None]]:
    return [{"check": name, **result.as_json} for name, result in examined]
