"""`make up` in a fresh clone, and again when nothing has changed."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.measured import ROOT, Measured, RunFailedError
from bench.page import spread, table
from tests.real.ports import free_port
from tests.stacks.runbook import Clone, new_clone

REPEATS = 5

LONGEST = 10.0
"""Seconds, for a `make up` that changes nothing: for each of them."""


@dataclass(frozen=True)
class Took:
    wall: float
    processor: float
    """Seconds of the processor, without the broker that goes on."""


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """The first one fills an environment from uv's cache; Pulumi is built already."""
    clone = dev_clone(folder)
    say("the first make up")
    try:
        first = _timed(clone)
        again = []
        for turn in range(REPEATS):
            say(f"again, {turn + 1} of {REPEATS}")
            again.append(_timed(clone))
    finally:
        clone.sh("make down")
    rows = [
        ("make up", "time", "processor time"),
        ("the first in a clone", f"{first.wall:.1f} s", f"{first.processor:.1f} s"),
        ("again", *(spread([getattr(one, name) for one in again], "s", 1) for name in ("wall", "processor"))),
    ]
    return Measured(table(rows), broken_promises([one.wall for one in again]))


def dev_clone(folder: Path) -> Clone:
    """Return a fresh clone whose dev stack has a port of its own for its broker."""
    kind = "    kind: embedded\n"
    text = (ROOT / "Pulumi.dev.yaml").read_text().replace(kind, f"{kind}    port: {free_port()}\n")
    return new_clone(folder / "clone", {"Pulumi.dev.yaml": text})


def broken_promises(walls: list[float]) -> list[str]:
    longest = max(walls)
    return (
        [f"a make up that changes nothing takes {longest:.1f} s, more than {LONGEST:.0f}"] if longest > LONGEST else []
    )


def _timed(clone: Clone) -> Took:
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = clone.sh("make up")
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode:
        raise RunFailedError(f"make up ended with {done.returncode}:\n{(done.stdout + done.stderr)[-4000:]}")
    return Took(wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
