"""The rotation functions' package: how large it is, and how long a cold start imports."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from bench.measured import Measured, PartMissingError
from bench.page import spread, table
from components.aws import lambda_package
from tests.real.lambda_runtime import ARCHITECTURE, PYTHON

HANDLER = "secretops.platforms.aws.lambda_handler"
MODULES = ("boto3", HANDLER)
RUNS = 7
"""Of each in turn, in a new process without bytecode, as Lambda unpacks the package."""

MEGABYTE = 1_000_000

_CODE = """
import sys, time
sys.path.insert(0, {task!r})
wall, processor = time.monotonic(), time.process_time()
import {module}
wall, processor = time.monotonic() - wall, time.process_time() - processor
peak = next(line.split()[1] for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(wall, processor, int(peak) / 1024)
"""


def measure(folder: Path, say: Callable[[str], None]) -> Measured:
    """The package for the runtime, and the imports of its build for this Python. Raises PartMissingError."""
    if lambda_package.main():
        raise PartMissingError("dist/lambda.zip: make lambda says why")
    lambda_package.build(folder / "here.zip", python=PYTHON, architecture=ARCHITECTURE)
    task = folder / "task"
    with zipfile.ZipFile(folder / "here.zip") as archive:
        archive.extractall(task)
    size = lambda_package.ZIP.stat().st_size
    with zipfile.ZipFile(lambda_package.ZIP) as archive:
        unpacked = sum(entry.file_size for entry in archive.infolist())
    took: dict[str, list[tuple[float, ...]]] = {module: [] for module in MODULES}
    for turn in range(RUNS):
        say(f"imports, {turn + 1} of {RUNS}")
        for module, runs in took.items():
            runs.append(_imported(task, module))
    rows = [("cold import", "time", "processor time", "memory after it")]
    for module, runs in took.items():
        wall, processor, memory = zip(*runs, strict=True)
        rows.append((f"`{module}`", spread(wall, "s", 2), spread(processor, "s", 2), spread(memory, "MiB", 0)))
    text = f"dist/lambda.zip has {size / MEGABYTE:.1f} MB, unpacked {unpacked / MEGABYTE:.1f} MB.\n\n{table(rows)}"
    return Measured(text, broken_promises(size))


def broken_promises(size: int) -> list[str]:
    """What is packed; that the import takes no more than 1.5 times boto3's is a test's (tests/tools)."""
    most = lambda_package.LARGEST
    return [f"dist/lambda.zip has {size:,} bytes, more than {most:,}"] if size > most else []


def _imported(task: Path, module: str) -> tuple[float, ...]:
    """Seconds, seconds of the processor, MiB."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-B", "-c", _CODE.format(task=str(task), module=module)],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.defpath},
    )
    return tuple(map(float, done.stdout.split()))
