"""Finds the manifest of a stack in its outputs. Uses the selected Pulumi stack unless --stack is set."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from secretops.errors import UsageError, did_you_mean
from secretops.manifest import Manifest
from secretops.owned_files import OTHERS_WRITE
from secretops.stores.files import refuse_another_stack

# The stack output with the manifest.
OUTPUT = "secretops"

# Matches the Pulumi.yaml of the clone, which has a Makefile.
_OWN_PROJECT = re.compile(r"""^name: *["']?coreflux-mcp-secrets["']?\s*(#.*)?$""", re.MULTILINE)


def project_folder() -> Path:
    """Return the Pulumi project around the current folder, else around this installation. Raises UsageError."""
    for start in (Path.cwd(), Path(sys.prefix)):
        for folder in (start, *start.parents):
            if os.path.isfile(folder / "Pulumi.yaml"):  # noqa: PTH113 - Path's own raises where a folder is closed to us
                return folder
    raise UsageError(
        f"{Path.cwd()}: no Pulumi.yaml here or above",
        rule="secretops finds everything through a stack's outputs",
        remedy="run it in the project's folder, or give --manifest FILE",
    )


def load_manifest(stack: str | None, file: Path | None) -> Manifest:
    """Return the manifest in `file`, else of `stack`, else of the selected stack.

    Raises UsageError, also where its store is a folder of another stack.
    """
    found = _load(stack, file)
    if found.store.folder:
        refuse_another_stack(found.store.folder, found.stack)
    return found


def _load(stack: str | None, file: Path | None) -> Manifest:
    if file is not None:
        try:
            content = file.read_bytes()  # first, since chmod is no remedy for a folder
            _refuse_writable(file)
            return _parse(content, str(file))
        except OSError as error:
            raise UsageError(f"{file}: {error.strerror}", remedy="give the manifest that `pulumi up` wrote") from error
    project = project_folder()
    beside = Path(sys.executable).with_name("pulumi")
    pulumi = str(beside) if beside.exists() else shutil.which("pulumi")
    if pulumi is None:
        raise UsageError(
            "pulumi is not on PATH", remedy="put it there (in a clone: make setup), or give --manifest FILE"
        )
    done = _run(pulumi, project, "output", OUTPUT, *(["--stack", stack] if stack else []))
    if done.returncode:
        said = next((line for line in done.stderr.splitlines() if line.strip()), "no output")
        raise _not_found(stack, said.removeprefix("error: "), _stacks(pulumi, project), project)
    return _parse(done.stdout.encode(), f"output {OUTPUT} of the stack")


def _run(pulumi: str, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [pulumi, "stack", *arguments, "--json", "--non-interactive", "--cwd", str(project)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _refuse_writable(file: Path) -> None:
    """Raise UsageError for a manifest that other accounts can write to. Raises OSError."""
    mode = stat.S_IMODE(file.stat().st_mode)
    if mode & OTHERS_WRITE:
        raise UsageError(
            f"{file} has mode {mode:o}: other accounts can write to it",
            rule="a manifest says where credentials go, so only its owner may write to it",
            remedy=f"compare it with the stack's output (pulumi stack output {OUTPUT}), then chmod go-w {file}",
        )


def _stacks(pulumi: str, project: Path) -> dict[str, bool]:
    """Return each stack of the project, and whether it is selected. Empty if Pulumi fails."""
    try:
        found = json.loads(_run(pulumi, project, "ls").stdout)
        return {each["name"]: bool(each.get("current")) for each in found}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _not_found(stack: str | None, said: str, stacks: dict[str, bool], project: Path) -> UsageError:
    """Return the error for Pulumi's message `said`: no such stack, none selected, or one never deployed."""
    name = stack or next((each for each, selected in stacks.items() if selected), None)
    there = f"there are {', '.join(stacks)}" if stacks else "there is none yet"
    if name is None and "no stack selected" in said:
        return UsageError(
            f"no stack is selected; {there}",
            rule="secretops speaks of the selected stack unless told another",
            remedy="pulumi stack select NAME, or give --stack NAME" if stacks else _up(project, "NAME"),
        )
    if stack and "no stack named" in said:
        return UsageError(
            f"there is no stack {stack}; {there}",
            rule="--stack names a stack of this project and this backend",
            remedy=did_you_mean(stack, stacks) + _how_to_make(project, stack),
        )
    if name and "does not have output property" in said:
        return UsageError(
            f"{name} is not deployed",
            rule="a stack has outputs from `pulumi up` to `pulumi destroy`, which leaves values that were not purged",
            remedy=f"{_up(project, name)}, or --stack NAME for another; to remove what a destroyed stack left, "
            "deploy it again, then secretops purge --destroy",
        )
    return UsageError(
        f"stack {name or '(the selected one)'}: {said}",
        rule="a stack has outputs once `pulumi up` has run on it",
        remedy=f"{_up(project, name or 'NAME')}, or pulumi stack select NAME, or give --stack NAME",
    )


def _is_own(project: Path) -> bool:
    """Return whether it is the clone."""
    return bool(_OWN_PROJECT.search((project / "Pulumi.yaml").read_text(encoding="utf-8", errors="replace")))


def _how_to_make(project: Path, stack: str) -> str:
    file = f"Pulumi.{stack}.yaml"
    made = f"{_up(project, stack)} makes it"
    lacking = _is_own(project) and not (project / file).exists()
    return f"write {file}, like those of examples/; then {made}" if lacking else made


def _up(project: Path, stack: str) -> str:
    """Return the command that deploys `stack`, in the clone or in another program."""
    if _is_own(project):
        return f"make up STACK={stack}"
    return f"pulumi up --stack {stack}, by a program that exports the output {OUTPUT} of its component"


def _parse(text: bytes, where: str) -> Manifest:
    """Return the manifest in a JSON object, or in a JSON string with one: components of other languages export text."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None  # `parse` reports it
    return Manifest.parse(document if isinstance(document, str) else text, where)
