"""Check Kusto queries with Microsoft's parser from npm: their syntax, and their names against the columns of tables.

No query runs.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tools.steps import ROOT, TOOLS, SetupError, run_step

SCRIPT = ROOT / "tools/kusto/parse.js"

_LOCKED = ROOT / "tools/kusto"
_INSTALLED = TOOLS / "kusto"
_FILES = ("package.json", "package-lock.json")


@dataclass(frozen=True)
class Parsed:
    problems: tuple[str, ...]
    # Columns of the result: name -> type.
    columns: Mapping[str, str]


def is_there() -> bool:
    """Return whether the lock file's version is completely installed."""
    # npm's lock file is copied last.
    locked, installed = _LOCKED / _FILES[-1], _INSTALLED / _FILES[-1]
    return installed.is_file() and installed.read_bytes() == locked.read_bytes() and shutil.which("node") is not None


def provide() -> None:
    if is_there():
        return
    npm = shutil.which("npm")
    if npm is None:
        remedy = "install Node.js 20 or newer with npm, or unset CI to skip the tests of Azure"
        raise SetupError("the parser of Kusto", "  there is no npm", remedy)
    shutil.rmtree(_INSTALLED, ignore_errors=True)
    _INSTALLED.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_INSTALLED.parent) as folder:
        made = Path(folder) / "kusto"
        made.mkdir()
        for name in _FILES:
            shutil.copy(_LOCKED / name, made)
        argv = [npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefix", str(made)]
        remedy = "check npm's registry and this machine's network"
        run_step("the parser of Kusto, of npm (for the full tests)", argv, remedy=remedy)
        made.rename(_INSTALLED)


def parse(workspaces: Mapping[str, Mapping[str, str]], queries: Mapping[str, str]) -> dict[str, dict[str, Parsed]]:
    """Parse queries in workspaces. Return workspace -> query -> the parsed query.

    A workspace is table -> "(column: type, ...)". Raises CalledProcessError.
    """
    node = shutil.which("node") or "node"
    queries_by_workspace = json.dumps({"workspaces": workspaces, "queries": queries})
    argv = [node, str(SCRIPT), str(_INSTALLED)]
    printed = subprocess.run(argv, input=queries_by_workspace, capture_output=True, text=True, check=True, timeout=120)
    return {
        workspace: {name: Parsed(tuple(one["problems"]), one["columns"]) for name, one in found.items()}
        for workspace, found in json.loads(printed.stdout).items()
    }


if __name__ == "__main__":
    provide()
