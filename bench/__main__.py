"""Measure the named parts, or all parts, and write the figures to docs/performance.md: `.venv/bin/python -m bench
[--check] [PART ...]`.

--check only validates the names of the parts, and imports only the standard library. Exit codes: 0 done; 1 a figure
exceeds its limit, or a part failed; 2 a requirement is missing, or a part is unknown.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Collection
from importlib import import_module
from pathlib import Path

# The module of each part: its `measure` gets an empty folder, and a function that prints progress.
PARTS = {
    "preview": "previews",
    "make-up": "make_up",
    "rotation": "rotation",
    "launcher": "launcher",
}

DONE, PROMISE_BROKEN, PART_MISSING = 0, 1, 2


def main(arguments: list[str]) -> int:
    names = [name for name in arguments if name != "--check"]
    if unknown := [name for name in names if name not in PARTS]:
        print(f"{unknown[0]}: not a part; the parts are {', '.join(PARTS)}", file=sys.stderr)
        return PART_MISSING
    return DONE if "--check" in arguments else _measure(names or PARTS)


def _measure(names: Collection[str]) -> int:
    from bench import page

    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s {line}", file=sys.stderr, flush=True)

    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # measure with cached bytecode, as users have it
    broken, missing = [], []
    for name in names:
        say(name)
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            try:
                measured = import_module(f"bench.{PARTS[name]}").measure(Path(folder), lambda line: say(f"  {line}"))
            except page.PartMissingError as error:
                missing.append(f"MISSING for {name}: {error}")
                continue
            except page.RunFailedError as error:
                broken.append(f"FAILED: {name}: {error}")
                continue
        page.write(name, measured)
        broken += [f"BROKEN PROMISE: {promise}" for promise in measured.broken]
    for line in (*broken, *missing):
        say(line)
    return PART_MISSING if missing else PROMISE_BROKEN if broken else DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
