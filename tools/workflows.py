"""Run actionlint on the workflows: `python -m tools.workflows`.

Exit codes: 0 no findings; 1 findings, or actionlint is missing.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tools.steps import ROOT, SetupError
from tools.toolchain.gobuild import cached_binary

ACTIONLINT = ("actionlint", ROOT / "tools/actionlint", "github.com/rhysd/actionlint/cmd/actionlint")
WORKFLOWS = ROOT / ".github/workflows"


def actionlint(*files: Path) -> subprocess.CompletedProcess[str]:
    """Run actionlint without shellcheck and pyflakes, which a machine may lack."""
    chosen = files or tuple(sorted(WORKFLOWS.glob("*.yml")))
    command: list[str | Path] = [cached_binary(*ACTIONLINT), "-no-color", "-shellcheck=", "-pyflakes=", *chosen]
    return subprocess.run(command, cwd=ROOT, check=False, stdin=subprocess.DEVNULL, capture_output=True, text=True)


def main() -> int:
    try:
        done = actionlint()
    except SetupError as error:
        sys.stderr.write(f"workflows: {error}\n")
        return 1
    sys.stdout.write(done.stdout + done.stderr)
    return done.returncode


if __name__ == "__main__":
    sys.exit(main())
