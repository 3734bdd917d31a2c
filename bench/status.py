"""What `secretops status` of a dev stack takes: by itself, and with the Pulumi that it runs for the stack's outputs."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable
from pathlib import Path

from bench.make_up import dev_clone
from bench.measured import Measured, RunFailedError
from bench.page import spread, table
from tests.stacks.runbook import Clone

REPEATS = 15

# What a status may take by itself: seconds of the processor (the median), and MiB of memory.
MOST_SECONDS, MOST_MEMORY = 0.35, 60

MANIFEST = ".coreflux-mcp/config/secretops.json"

# Linux counts the children that a process has waited for as its own; memory is the largest of them.
TIMED = """
import json, os, subprocess, sys
_, status, used = os.wait4(subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL).pid, 0)
print(json.dumps([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss / 1024]))
"""


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """Measure a stack whose broker runs and whose server's user has a value: the broker is asked for reports."""
    clone = dev_clone(folder)
    say("make up")
    try:
        if (done := clone.sh("make up")).returncode:
            raise RunFailedError(f"make up ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
        alone = _runs(clone, f"secretops status --manifest {MANIFEST}", say)
        asking = _runs(clone, "secretops status", say)
    finally:
        clone.sh("make down")
    rows = [
        ("secretops status", "processor time", "memory at most"),
        ("with `--manifest`", spread(alone[0], "s", 2), spread(alone[1], "MiB", 0)),
        ("with the Pulumi that it runs", spread(asking[0], "s", 2), spread(asking[1], "MiB", 0)),
    ]
    return Measured(table(rows), broken_promises(*alone))


def broken_promises(seconds: list[float], memory: list[float]) -> list[str]:
    """Return each promise that is not kept."""
    middle = sorted(seconds)[len(seconds) // 2]
    slow = (
        [f"a status takes {middle:.2f} s of the processor, more than {MOST_SECONDS}"] if middle > MOST_SECONDS else []
    )
    large = [f"a status takes {max(memory):.0f} MiB, more than {MOST_MEMORY}"] if max(memory) > MOST_MEMORY else []
    return [*slow, *large]


def _runs(clone: Clone, command: str, say: Callable[[str], None]) -> tuple[list[float], list[float]]:
    """Return seconds and MiB of each run."""
    seconds, memory = [], []
    for turn in range(REPEATS):
        say(f"{command}, {turn + 1} of {REPEATS}")
        done = clone.sh(f"python -c {shlex.quote(TIMED)} {command}")
        code, processor, most = json.loads(done.stdout)
        if code:
            raise RunFailedError(f"{command} ended with {code}:\n{done.stderr[-4000:]}")
        seconds.append(processor)
        memory.append(most)
    return seconds, memory
