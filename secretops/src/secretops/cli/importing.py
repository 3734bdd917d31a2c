from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from secretops.cli import console
from secretops.cli.values import options
from secretops.errors import UsageError

if TYPE_CHECKING:
    from secretops.operations.import_values import Imported, ImportOutcome, ImportPlan


@console.app.command("import")
def import_(
    source: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="PATH",
            help="A .env file, a folder, a compose file (.yaml), or - for the output of kubectl get secret.",
        ),
    ],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check and test, and publish nothing.")] = False,
    stack: console.Stack = None,
    manifest: console.ManifestFile = None,
    as_json: console.AsJson = False,
) -> int:
    """Publish a running server's values as first versions.

    Tests all of them first. Run it again to finish an interrupted import.
    """
    from secretops.operations import import_values as operation

    session = console.open_session(stack, manifest)
    if session.platform.is_remote():
        found = operation.ImportPlan.unpack(sys.stdin.buffer.read())
    else:
        found = operation.collect(session.manifest, source, _stdin)
        if remote := session.platform.remote_command(session.manifest):
            if found.problems and not as_json:
                _print_found(found)
            operation.refuse(source, found.problems)
            more = options(**{"dry-run": dry_run, "json": as_json})
            return remote(("import", "--from", source, *more), supplied=found.packed())
    if not as_json:
        _print_found(found)
    outcome = operation.import_values(session, found, source, dry_run=dry_run)
    if as_json:
        left = [{"code": one.code, "what": one.what, "rule": one.rule, "remedy": one.remedy} for one in found.left]
        console.print_json({"origins": found.origins, "left": left, "dry_run": dry_run, **asdict(outcome)})
    else:
        _print(outcome)
    return 0


def _stdin() -> bytes:
    if sys.stdin.isatty():
        rule = "standard input must be a Kubernetes Secret in JSON"
        remedy = "kubectl get secret NAME -o json | secretops import --from -"
        raise UsageError("standard input is a terminal", rule=rule, remedy=remedy, code="import-input-missing")
    return sys.stdin.buffer.read()


def _print_found(found: ImportPlan) -> None:
    for to, origin in found.origins.items():
        console.out.print(f"{origin} -> {to}")
    for one in found.left:
        console.out.print(str(one))


def _print(outcome: ImportOutcome) -> None:
    for one in outcome.secrets:
        console.out.print(f"{one.name}: {_result(one)}")
    for name, command in outcome.missing.items():
        console.out.print(f"{name}: no value in the source: {command}", style="yellow")


def _result(one: Imported) -> str:
    if one.unchanged:
        return "the store has this value already"
    tested = "tested" if one.tested else "untested, because secretops can reach no system that accepts the value"
    return f"{tested}, published as {one.version.id}" if one.version else f"{tested}, ready to be imported"
