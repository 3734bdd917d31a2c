"""Measure `make up` in a fresh clone, `make up` again without a change, and `secretops status` of its stack."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path
from statistics import median

from bench.page import ROOT, Measured, RunFailedError, spread, table
from tests.real.ports import free_port
from tests.stacks.runbook import Clone, new_clone

# Runs of each command except the first `make up`.
REPEATS = 5

# Limits of the medians: seconds of a `make up` that changes nothing; CPU seconds and MiB of a `secretops status`.
LONGEST, MOST_SECONDS, MOST_MEMORY = 5.0, 0.35, 60

MANIFEST = ".coreflux-mcp/config/secretops.json"

# The columns of the table, and what TIMED prints. Linux adds the children that a process has waited for to its own
# figures; memory is that of the largest process. The broker is not included, because it keeps running.
COLUMNS = (("time", "s"), ("processor time", "s"), ("memory at most", "MiB"))
TIMED = """
import json, os, subprocess, sys, time
began = time.monotonic()
_, status, used = os.wait4(subprocess.Popen(sys.argv[1:], stdout=sys.stderr).pid, 0)
wall = time.monotonic() - began
print(json.dumps([os.waitstatus_to_exitcode(status), wall, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""

Runs = list[tuple[float, float, float]]


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """Measure each command on a stack with its own broker port. Pulumi is already built, and uv's cache has all
    packages."""
    kind = "    kind: embedded\n"
    text = (ROOT / "Pulumi.dev.yaml").read_text().replace(kind, f"{kind}    port: {free_port()}\n")
    clone = new_clone(folder / "clone", {"Pulumi.dev.yaml": text})
    commands = {
        "`make up`, the first in a clone": ("make up", 1),
        "`make up`, again": ("make up", REPEATS),
        "`secretops status --manifest`": (f"secretops status --manifest {MANIFEST}", REPEATS),
        "`secretops status`, with the Pulumi that it runs": ("secretops status", REPEATS),
    }
    runs: dict[str, Runs] = {}
    try:
        for name, (command, times) in commands.items():
            say(name)
            runs[name] = [_timed(clone, command) for _ in range(times)]
    finally:
        clone.sh("make down")
    _, again, status, _ = runs.values()
    return Measured(table([("", *(name for name, _ in COLUMNS)), *map(_row, runs.items())]), broken(again, status))


def broken(again: Runs, status: Runs) -> list[str]:
    wall = median(one[0] for one in again)
    processor, memory = (median(one[column] for one in status) for column in (1, 2))
    checks = {
        f"a make up that changes nothing takes {wall:.1f} s, more than {LONGEST:.0f}": wall > LONGEST,
        f"a status takes {processor:.2f} s of the processor, more than {MOST_SECONDS}": processor > MOST_SECONDS,
        f"a status takes {memory:.0f} MiB, more than {MOST_MEMORY}": memory > MOST_MEMORY,
    }
    return [words for words, is_broken in checks.items() if is_broken]


def _row(entry: tuple[str, Runs]) -> tuple[str, ...]:
    columns = zip(COLUMNS, zip(*entry[1], strict=True), strict=True)
    return (entry[0], *(spread(of, unit, 0 if unit == "MiB" else 2) for (_, unit), of in columns))


def _timed(clone: Clone, command: str) -> tuple[float, float, float]:
    """Run a command in the clone. Return wall-clock seconds, CPU seconds and peak memory in MiB."""
    done = clone.sh(f"python3 -c {shlex.quote(TIMED)} {command}")
    code, *figures = json.loads(done.stdout)
    if code:
        raise RunFailedError(f"{command} ended with {code}:\n{done.stderr[-4000:]}")
    wall, processor, memory = figures
    return wall, processor, memory
