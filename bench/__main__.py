"""Measures, and writes the figures to docs/performance.md: all parts, or those that are named.

    .venv/bin/python -m bench [PART ...]

Progress goes to standard error. A part's figures are written as soon as it has ended, so that one that failed is
measured again alone. Exit code 0: done. 1: a promise was not kept, or a part failed. 2: what a part needs is not here,
or there is no such part. What is measured and how is said in docs/performance.md.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from bench import growth, lambda_cost, launcher, make_up, page, previews, rotation, status
from bench.asked import refusal
from bench.measured import ROOT, Measured, PartMissingError, RunFailedError, machine

PAGE = ROOT / "docs" / "performance.md"

PARTS: Mapping[str, Callable[[Path, Callable[[str], None]], Measured]] = {
    "preview": previews.measure,
    "secrets": growth.measure,
    "make-up": make_up.measure,
    "status": status.measure,
    "rotation": rotation.measure,
    "lambda": lambda_cost.measure,
    "launcher": launcher.measure,
}
"""By its name, one of bench.asked: what measures it, in an empty folder, saying where it is."""

DONE, PROMISE_BROKEN, PART_MISSING = 0, 1, 2


def main(asked: list[str]) -> int:
    """Measure and write each part, and say at the end what was not kept or not there."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s {line}", file=sys.stderr, flush=True)

    if refused := refusal(asked, PARTS):
        say(refused)
        return PART_MISSING
    if sys.platform != "linux":
        say("it needs Linux: what a process takes is read from /proc")
        return PART_MISSING
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # nobody who works with a clone compiles it each time
    broken, missing = [], []
    for name in asked or PARTS:
        say(name)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                measured = PARTS[name](Path(folder), lambda line: say(f"  {line}"))
            except PartMissingError as error:
                missing.append(f"MISSING for {name}: {error}")
                continue
            except RunFailedError as error:
                broken.append(f"FAILED: {name}: {error}")
                continue
        page.write(PAGE, name, f"{machine(measured.parts)}\n\n{measured.text}")
        say(f"written: {name} in {PAGE.relative_to(ROOT)}")
        broken += [f"NOT KEPT: {promise}" for promise in measured.broken]
    for line in (*broken, *missing):
        say(line)
    return PART_MISSING if missing else PROMISE_BROKEN if broken else DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
