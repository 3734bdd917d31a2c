"""Read the manifest of a stack from its outputs. The default is the selected Pulumi stack."""

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

# Stack output with the manifest.
OUTPUT = "secretops"

# Matches the Pulumi.yaml of a clone, where `make up` works.
_OWN_PROJECT = re.compile(r"""^name: *["']?coreflux-mcp-secrets["']?\s*(#.*)?$""", re.MULTILINE)


def project_folder() -> Path:
    """Return the folder of the Pulumi project that contains the current folder, or else this installation."""
    for start in (Path.cwd(), Path(sys.prefix)):
        for folder in (start, *start.parents):
            if os.path.isfile(folder / "Pulumi.yaml"):  # noqa: PTH113 - Path's own raises for a closed folder
                return folder
    rule, remedy = (
        "the command must run in a Pulumi project, or with a manifest",
        "cd to the project, or pass --manifest FILE",
    )
    what = f"{Path.cwd()}: no Pulumi.yaml in this folder or above it"
    raise UsageError(what, rule=rule, remedy=remedy, code="project-missing")


def load_manifest(stack: str | None, file: Path | None) -> Manifest:
    """Return the manifest in `file`, else of `stack`, else of the selected stack. Raises UsageError."""
    found = _of_file(file) if file else _of_output(stack)
    parts = (stack or "").split("/")  # STACK, ORGANIZATION/STACK or ORGANIZATION/PROJECT/STACK
    if file and stack and (parts[1:] or parts) not in ([found.stack], [found.project, found.stack]):
        what = f"--stack {stack}: {file} is the manifest of stack {found.project}/{found.stack}"
        rule = "--stack and --manifest must name the same stack; the variable SECRETOPS_MANIFEST sets --manifest"
        remedy = f"omit --stack for stack {found.stack}; or unset SECRETOPS_MANIFEST, or pass the manifest of {stack}"
        raise UsageError(what, rule=rule, remedy=remedy, code="manifest-of-another-stack")
    if found.store.folder:
        refuse_another_stack(found.store.folder, found.stack)
    return found


def _of_file(file: Path) -> Manifest:
    try:
        content = file.read_bytes()  # before other checks: chmod is no remedy for a folder
        mode = stat.S_IMODE(file.stat().st_mode)
    except OSError as error:
        rule, remedy = "--manifest must name a readable file", "pass the manifest that `pulumi up` wrote"
        raise UsageError(f"{file}: {error.strerror}", rule=rule, remedy=remedy, code="manifest-unreadable") from error
    if mode & OTHERS_WRITE:
        what = f"{file} has mode {mode:o}: other accounts can write to it"
        rule = "only the owner of a manifest may write to it: the manifest says where credentials go"
        remedy = f"compare the file with the stack's output (pulumi stack output {OUTPUT}), then chmod go-w {file}"
        raise UsageError(what, rule=rule, remedy=remedy, code="manifest-writable")
    return _parse(content, str(file))


def _of_output(stack: str | None) -> Manifest:
    project = project_folder()
    bundled = Path(sys.executable).with_name("pulumi")
    pulumi = str(bundled) if bundled.exists() else shutil.which("pulumi")
    if pulumi is None:
        rule, remedy = (
            "pulumi must be installed, because it prints the manifest",
            "make setup in a clone, or pass --manifest FILE",
        )
        raise UsageError("pulumi is not on PATH", rule=rule, remedy=remedy, code="pulumi-missing")
    done = _run(pulumi, project, "output", OUTPUT, *(["--stack", stack] if stack else []))
    if done.returncode:
        message = next((line for line in done.stderr.splitlines() if line.strip()), "no output")
        raise _not_found(stack, message.removeprefix("error: "), _stacks(pulumi, project), project)
    return _parse(done.stdout.encode(), f"output {OUTPUT} of the stack")


def _run(pulumi: str, project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [pulumi, "stack", *arguments, "--json", "--non-interactive", "--cwd", str(project)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def _stacks(pulumi: str, project: Path) -> dict[str, bool]:
    """Return stack names, and whether each is selected. Empty if Pulumi fails."""
    try:
        return {each["name"]: bool(each.get("current")) for each in json.loads(_run(pulumi, project, "ls").stdout)}
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}


def _not_found(stack: str | None, message: str, stacks: dict[str, bool], project: Path) -> UsageError:
    name = stack or next((each for each, selected in stacks.items() if selected), None)
    known = f"stacks: {', '.join(stacks) or 'none yet'}"
    if name is None and "no stack selected" in message:
        rule = "a stack must be selected, or --stack set"
        remedy = "pulumi stack select NAME, or pass --stack NAME" if stacks else _up(project, "NAME")
        return UsageError(f"no stack is selected; {known}", rule=rule, remedy=remedy, code="stack-not-selected")
    if stack and "no stack named" in message:
        create = f"for a new stack: {_up(project, stack)}"
        if _is_own(project) and not (project / f"Pulumi.{stack}.yaml").exists():
            create = f"for a new stack: write Pulumi.{stack}.yaml, like those of examples/; then {_up(project, stack)}"
        what, rule = f"{stack}: no such stack; {known}", "--stack must name a stack of this project and this backend"
        return UsageError(what, rule=rule, remedy=did_you_mean(stack, stacks) + create, code="stack-unknown")
    if name and "does not have output property" in message:
        rule = "the stack must be deployed; `pulumi destroy` does not remove a stack's secret values from the store"
        remedy = (
            f"{_up(project, name)}; then, if you only want to remove the secret values of a destroyed stack: secretops "
            "purge --destroy"
        )
        return UsageError(f"{name} is not deployed", rule=rule, remedy=remedy, code="stack-not-deployed")
    what = f"stack {name or '(the selected one)'}: {message}"
    remedy = f"{_up(project, name or 'NAME')}; for another stack: pulumi stack select NAME, or pass --stack NAME"
    return UsageError(
        what, rule="the stack must be deployed, and its outputs readable", remedy=remedy, code="stack-unreadable"
    )


def _is_own(project: Path) -> bool:
    return bool(_OWN_PROJECT.search((project / "Pulumi.yaml").read_text(encoding="utf-8", errors="replace")))


def _up(project: Path, stack: str) -> str:
    if _is_own(project):
        return f"make up STACK={stack}"
    return f"pulumi up --stack {stack}, with a program that exports the output {OUTPUT} of its component"


def _parse(text: bytes, where: str) -> Manifest:
    # Programs in other languages export the manifest as a JSON string.
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        document = None  # `parse` reports it
    return Manifest.parse(document if isinstance(document, str) else text, where)
