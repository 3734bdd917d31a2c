from __future__ import annotations

import contextlib
import shlex
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from secretops.cli import console
from secretops.cli.values import read_files, supplied
from secretops.errors import ExitCode, SecretopsError
from secretops.printable import printable

if TYPE_CHECKING:
    from secretops.operations.compromise import Incident


@console.app.command()
def compromise(  # noqa: PLR0917 - typer calls it by name
    name: Annotated[str, typer.Argument(help="The secret, for example mqtt.")],
    since: console.Since = None,
    trail: console.TrailFiles = None,
    to: Annotated[Path, typer.Option("--to", metavar="FOLDER", help="Folder of the incident's files.")] = Path(),
    file: Annotated[
        list[str] | None, typer.Option("--file", help="FIELD=PATH: read a field of a new value from a file.")
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Do not continue an unfinished incident of the last day.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the steps, and change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not prompt.")] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Replace a compromised secret, and revoke its old value.

    Proves that the old value is refused, and reports who read it. Run it again to continue after an interruption.
    """
    from secretops.operations import audit
    from secretops.operations import compromise as operation

    session = console.open_session(stack, manifest)
    if session.platform.is_remote():
        operation.run_in_task(session, typer.echo, lambda secret: supplied(secret, []))
        return ExitCode.DONE
    begin = audit.moment(since, session.clock()) if since else None
    incident = operation.open_incident(session, name, since=begin, to=to, new=new)
    audit.check_logs(trail or ())
    for_programs, for_people = operation.files_of(incident, to)
    if for_programs.exists():
        console.err.print(
            f"continuing the incident in {for_programs}, which covers only the values from before "
            f"{incident.began:%Y-%m-%d %H:%M:%S} UTC; for a newer value begin another one: --new"
        )
    secret, earlier = session.secret(name), len(incident.attempts)
    if dry_run:
        if operation.needs_value(session, secret, incident):
            read_files(secret, file or [])
        steps = operation.plan(session, secret, incident, folder=to, files=tuple(trail or ()))
        if as_json:
            console.print_json({"steps": steps})
        else:
            console.out.print("\n".join(steps))
        return ExitCode.DONE
    if not yes:
        cost = f"This revokes the compromised value of {name} in stack {session.manifest.stack} at once. "
        cost += operation.cost(session.manifest, secret, incident)
        preview = "see the steps first: add --dry-run"
        reason = "secretops compromise ends sessions and passwords at once"
        console.confirm(f"compromise {name}", cost, name, reason=reason, preview=preview)
    options = {"--to": None if to == Path() else to, "--stack": stack, "--manifest": manifest}
    there = [text for option, value in options.items() if value for text in (option, str(value))]
    there += [text for each in trail or () for text in ("--trail", each)]
    resume = f"the incident is in {for_programs}; {shlex.join(['secretops', 'compromise', name, *there])} continues it"
    try:
        outcome = operation.compromise(
            session,
            incident,
            to=to,
            files=trail or (),
            ask=lambda secret: supplied(secret, file or []),
            notify=lambda step: console.err.print(f"{name}: {step}"),
        )
    except (SecretopsError, KeyboardInterrupt) as error:
        if for_programs.exists():
            saved = None
            with contextlib.suppress(Exception):  # the first error is the one to report
                saved = operation.load(for_programs)
            _print_unfinished(saved, error, earlier, resume, as_json=as_json)
        raise
    _print(outcome.incident, earlier, as_json=as_json)
    if outcome.incident.ended is None:  # a task has printed the reason
        console.err.print(resume)
    elif not as_json:
        console.out.print(f"{for_people} (and {for_programs.name})")
    return outcome.exit_code


def _print_unfinished(
    saved: Incident | None, error: BaseException, earlier: int, resume: str, *, as_json: bool
) -> None:
    if saved and saved.ended:  # by another run: the command would begin another incident
        return
    console.err.print(resume)
    if saved and getattr(error, "code", "") != "incident-continued":  # else the steps are another run's
        with contextlib.suppress(Exception):  # `error` is the one to report
            _print(saved, earlier, as_json=as_json)


def _print(incident: Incident, earlier: int, *, as_json: bool) -> None:
    # `earlier`: how many attempts earlier runs made
    if as_json:
        console.print_json(incident.model_dump(mode="json"))
        return
    for attempt in incident.attempts[earlier:]:
        console.out.print(f"{attempt.began:%H:%M:%S} UTC {attempt.step}: {printable(attempt.result) or 'not finished'}")
    for text in incident.to_do:
        console.out.print(f"action needed: {printable(text)}", style="yellow")


@console.app.command()
def purge(  # noqa: PLR0917 - typer calls it by name
    name: Annotated[str | None, typer.Argument(help="Only this secret, which may be orphaned.")] = None,
    destroy: Annotated[bool, typer.Option("--destroy", help="Remove the values.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="With --destroy: do not prompt.")] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Remove every value of the stack, or of one secret.

    Removal is permanent. Without --destroy, lists the versions that it would remove.
    """
    from secretops.operations import purge as operation

    session = console.open_session(stack, manifest)
    remaining = list[str]()

    def key_remains(line: str) -> None:
        remaining.append(line)
        console.err.print(line)

    silent = lambda _: None  # noqa: E731
    found = operation.purge(session, name, destroy=False, notify=silent if destroy else console.err.print)
    if destroy:
        if not yes:
            stack_name, names = session.manifest.stack, ", ".join(found) or "nothing"
            cost = f"This permanently removes every value of {names} in stack {stack_name}."
            reason = "a removed value cannot be restored"
            command = shlex.join(["secretops", "purge", *([name] if name else [])])
            preview = f"list the versions first: {command}"
            console.confirm(
                "purge --destroy", cost, stack_name, which="the stack's name", reason=reason, preview=preview
            )
        found = operation.purge(session, name, destroy=True, notify=console.err.print, key_remains=key_remains)
    if as_json:
        console.print_json(
            {
                "versions": {name: [asdict(each) for each in versions] for name, versions in found.items()},
                "remaining": remaining,
            }
        )
        return ExitCode.DONE
    for secret, versions in found.items():
        for version in versions:
            console.out.print(
                f"{secret}: {version.id} ({version.stage}) {'removed' if destroy else 'would be removed'}"
            )
    if not any(found.values()):
        console.out.print("no values")
    if found and not destroy:
        console.out.print("nothing was removed; --destroy removes these versions permanently")
    return ExitCode.DONE
