"""The commands that end values at once: compromise, and purge."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secretops.cli.console import AsJson, ManifestFile, Stack, app, confirm, err, notify, open_session, out, print_json
from secretops.cli.values import supplied
from secretops.errors import ExitCode, SecretopsError
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
            notify("\n".join(steps))
        return ExitCode.DONE
    if not yes:
        cost = f"This ends {name} as it is now, at once. {operation.cost(session.manifest, session.secret(name))}"
        preview = "--dry-run says what it would do"
        confirm(f"compromise {name}", cost, name, reason="it ends sessions and passwords at once", preview=preview)
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
        notify(f"{moment.began:%H:%M:%S} {moment.step}: {printable(moment.told) or 'cut short'}")
    for text in incident.to_do:
        notify(f"left to do: {printable(text)}", style="yellow")


@app.command()
def purge(  # noqa: PLR0917 - typer calls it by name
    name: Annotated[str | None, typer.Argument(help="This secret's alone, also of one that left the stack.")] = None,
    destroy: Annotated[bool, typer.Option("--destroy", help="Really remove them.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --destroy: do not ask first.")] = False,
    stack: Stack = None,
    manifest: ManifestFile = None,
    as_json: AsJson = False,
) -> int:
    """Remove every value of the stack, or of one secret, for good. Without --destroy: say which."""
    from secretops.operations import purge as operation

    session = open_session(stack, manifest)
    found = operation.purge(session, name, destroy=False)
    if destroy:
        if not yes:
            stack_name, names = session.manifest.stack, ", ".join(found) or "nothing"
            cost = f"This removes every value that stack {stack_name} keeps of {names}, for good."
            reason, preview = "nothing brings a value back", "without --destroy it says what would go"
            confirm("purge --destroy", cost, stack_name, which="The stack's name", reason=reason, preview=preview)
        found = operation.purge(session, name, destroy=True, say=err.print)
    if as_json:
        print_json({"versions": {name: [asdict(each) for each in versions] for name, versions in found.items()}})
        return ExitCode.DONE
    for secret, versions in found.items():
        for version in versions:
            out.print(f"{secret}: {version.id} ({version.stage}) {'removed' if destroy else 'would be removed'}")
    if not any(found.values()):
        out.print("no values")
    if found and not destroy:
        out.print("nothing was removed; --destroy removes them for good")
    return ExitCode.DONE
