"""Run every secret scanner on a git work tree: `.venv/bin/python tools/scan.py [--only NAME] [ROOT]`.

Exit codes: 0 no findings; 1 findings; 2 a scanner could not run or, in CI, is missing. docs/operations/scanning.md
describes the scanners.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # when this file is run, sys.path has only tools/

from tools.scanners import SCANNERS, NotHadError, Report
from tools.worktree import ScanError, Tree

SHOWN = 40  # maximum number of listed findings per scanner; all are counted
OUTCOMES = ("ok", "with findings", "skipped", "failed")
CLEAN, FINDINGS, COULD_NOT_RUN = 0, 1, 2


def say(line: str, *, indent: str = "") -> None:
    print(
        textwrap.fill(
            line,
            80,
            initial_indent=indent,
            subsequent_indent=indent + "  ",
            break_long_words=False,
            break_on_hyphens=False,
        ),
        flush=True,
    )


def run(name: str, scanner: Callable[[Tree], Report], tree: Tree) -> str:
    """Run a scanner and print its result. Return one of OUTCOMES."""
    started = time.monotonic()
    try:
        report = scanner(tree)
    except (NotHadError, ScanError) as problem:
        outcome = "skipped" if isinstance(problem, NotHadError) else "failed"
        first, *rest = str(problem).splitlines()
        say(f"{name}: {outcome}: {first}")
        for line in rest:
            say(line.strip(), indent="  ")
        return outcome
    covered = f"({report.covered}, {time.monotonic() - started:.1f} s)"
    if not report.findings:
        say(f"{name}: ok {covered}")
        return "ok"
    say(f"{name}: {len(report.findings)} finding{'s' if len(report.findings) > 1 else ''} {covered}")
    for finding in sorted(report.findings)[:SHOWN]:
        say(f"{finding.where} {finding.rule}", indent="  ")
    if len(report.findings) > SHOWN:
        say(f"and {len(report.findings) - SHOWN} more", indent="  ")
    return "with findings"


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run the secret scanners over a git work tree.")
    parser.add_argument(
        "--only",
        action="append",
        choices=SCANNERS,
        help="run only this scanner; repeat the option for several scanners",
    )
    parser.add_argument(
        "root", nargs="?", type=Path, default=Path(), help="the work tree; the current folder by default"
    )
    options = parser.parse_args(arguments)
    chosen = {name: scanner for name, scanner in SCANNERS.items() if not options.only or name in options.only}
    try:
        tree = Tree.read(options.root)
    except ScanError as problem:
        print(f"scan: {problem}")
        return COULD_NOT_RUN
    outcomes = Counter(run(name, scanner, tree) for name, scanner in chosen.items())
    say("scan: " + ", ".join(f"{outcomes[word]} {word}" for word in OUTCOMES if outcomes[word]))
    if outcomes["with findings"]:
        return FINDINGS
    in_ci = os.environ.get("CI", "").lower() in {"true", "1"}
    return COULD_NOT_RUN if outcomes["failed"] or (outcomes["skipped"] and in_ci) else CLEAN


if __name__ == "__main__":
    sys.exit(main())
