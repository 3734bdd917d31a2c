"""The command for when a secret is in wrong hands."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secretops.cli.console import AsJson, ManifestFile, Stack, app, ask, err, open_session, out, print_json, tell
from secretops.cli.values import supplied
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.printable import printable

if TYPE_CHECKING:
    from secretops.operations.compromise import Incident


@app.command()
def compromise(  # noqa: PLR0917 - typer calls it by name
    name: Annotated[str, typer.Argument(help="The secret, for example mqtt.")],
    since: Annotated[
        str | None, typer.Option("--since", help="From when on to ask who read it: 24h (the default), or ISO 8601.")
    ] = None,
    trail: Annotated[
        list[str] | None, typer.Option("--trail", metavar="FILE", help="A log of the store's trail, as for audit.")
    ] = None,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Where the incident's files are kept.")] = Path(),
    file: Annotated[
        list[str] | None, typer.Option("--file", help="FIELD=PATH: as for put, of what you supply.")
    ] = None,
    anew: Annotated[
        bool, typer.Option("--anew", help="Begin another incident, though one of the last day is not ended.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask first.")] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """A secret is in wrong hands: replace it, end the old one at once, prove that, and say who read it.

    Run it again to go on with what was cut short.
    """
    from secretops.operations import audit
    from secretops.operations import compromise as operation

    session = open_session(stack, manifest)
    if session.platform.is_remote():
        operation.in_task(session, typer.echo, lambda secret: supplied(secret, []))
        return ExitCode.DONE
    begin = audit.moment(since, session.clock()) if since else None
    incident = operation.begun(session, name, since=begin, to=to, anew=anew)
    if dry_run:
        steps = operation.plan(session, session.secret(name), incident, folder=to, files=tuple(trail or ()))
        if as_json:
            print_json({"steps": steps})
        else:
            tell("\n".join(steps))
        return ExitCode.DONE
    if not yes:
        _confirm(name, operation.cost(session.manifest, session.secret(name)))
    for_programs, for_people = operation.files_of(incident, to)
    if for_programs.exists():
        err.print(f"going on with {for_programs}; --anew begins another incident")
    there = "" if to == Path() else f" --to {shlex.quote(str(to))}"
    goes_on = f"it is on record in {for_programs}; secretops compromise {name}{there} goes on from there"
    try:
        outcome = operation.compromise(
            session, incident, to=to, files=trail or (), ask=lambda secret: supplied(secret, file or [])
        )
    except (SecretopsError, KeyboardInterrupt):
        if for_programs.exists():
            err.print(goes_on)
            if as_json:
                print_json(json.loads(for_programs.read_bytes()))
        raise
    if outcome.incident.ended is None:  # a task has said why
        err.print(goes_on)
    if as_json:
        print_json(outcome.incident.model_dump(mode="json"))
    elif outcome.incident.ended:
        _show(outcome.incident)
        out.print(f"{for_people} (and {for_programs.name})")
    return outcome.exit_code


def _show(incident: Incident) -> None:
    for moment in incident.moments:
        tell(f"{moment.began:%H:%M:%S} {moment.step}: {printable(moment.told) or 'cut short'}")
    for text in incident.to_do:
        tell(f"left to do: {printable(text)}", style="yellow")


def _confirm(name: str, cost: str) -> None:
    """Raise UsageError unless whoever sits there says that they mean it."""
    if not sys.stdin.isatty():
        raise UsageError(
            f"compromise {name}: nobody to ask",
            rule="it ends sessions and passwords at once, so it asks first",
            remedy="--yes, where nobody answers; --dry-run says what it would do",
        )
    err.print(f"This ends {name} as it is now, at once. {cost}")
    if ask("Its name, to go on") != name:
        raise UsageError(f"compromise {name}: that is not its name; nothing was done", remedy="try again")
