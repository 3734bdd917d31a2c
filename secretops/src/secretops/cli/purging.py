"""The command that takes values away for good."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from secretops.cli.console import AsJson, ManifestFile, Stack, app, ask, err, open_session, out, print_json
from secretops.errors import ExitCode, UsageError

if TYPE_CHECKING:
    from secretops.engine.state import Version


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
            _confirm(session.manifest.stack, found)
        found = operation.purge(session, name, destroy=True, say=err.print)
    if as_json:
        print_json({"versions": {name: [asdict(each) for each in versions] for name, versions in found.items()}})
        return ExitCode.DONE
    _show(found, "removed" if destroy else "would be removed")
    if found and not destroy:
        out.print("nothing was removed; --destroy removes them for good")
    return ExitCode.DONE


def _show(found: Mapping[str, tuple[Version, ...]], what: str) -> None:
    for secret, versions in found.items():
        for version in versions:
            out.print(f"{secret}: {version.id} ({version.stage}) {what}")
    if not any(found.values()):
        out.print("no values")


def _confirm(stack: str, found: Mapping[str, tuple[Version, ...]]) -> None:
    """Raise UsageError unless whoever sits there says that they mean it: the stack, for it may be the wrong one."""
    if not sys.stdin.isatty():
        raise UsageError(
            "purge --destroy: nobody to ask",
            rule="nothing brings a value back, so it asks first",
            remedy="--yes, where nobody answers; without --destroy it says what would go",
        )
    names = ", ".join(found) or "nothing"
    err.print(f"This removes every value that stack {stack} keeps of {names}, for good.")
    if ask("The stack's name, to go on") != stack:
        raise UsageError("purge --destroy: that is not its name; nothing was removed", remedy="try again")
