"""Apply each recorded mutant to a copy of this work tree, and check that its tests notice it.

    python -m tests.mutants [--tier test|all] [--jobs N] [ID ...]

Exit codes: 0 every mutant is killed (with `--tier test`: at least 95 % of them by tests that `make test` runs),
1 some survive, 2 a record is wrong or a test fails without any mutant.
"""

import argparse
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import Queue

from tests.mutants.record import ROOT, AddressError, Mutant, find_place, read_mutants

SCRATCH = ROOT / ".tools/mutants"
# Share of the mutants that tests of `make test` must kill.
MUST_KILL_IN_TEST = 0.95
# Variables of a caller that would import modules of another tree, or write no bytecode.
NOT_INHERITED = ("PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
# A mutant that hangs its tests is killed, too: seconds before that is assumed.
PATIENCE = 900
PASSED, FAILED = 0, 1
SHOWN = 20


class CopyOfTree:
    """A copy of the work tree with its own environment, whose files are mutated one at a time."""

    def __init__(self, folder: Path, tier: str) -> None:
        self.root = folder
        self._chosen = ["-m", "not slow"] if tier == "test" else []
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
        for old in folder.rglob("*.py"):
            relative = old.relative_to(folder)
            if relative.parts[0] not in {".venv", ".tools"} and str(relative) not in names:
                old.unlink()
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
        subprocess.run(
            [sys.executable, "tools/setup.py"],
            cwd=folder,
            check=True,
            stdout=subprocess.DEVNULL,
            stdin=subprocess.DEVNULL,
        )

    def pytest(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run pytest in the copy. Raises subprocess.TimeoutExpired."""
        return subprocess.run(
            [
                *(".venv/bin/python", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--no-header"),
                *self._chosen,
                *arguments,
            ],
            cwd=self.root,
            check=False,
            env={name: value for name, value in os.environ.items() if name not in NOT_INHERITED},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def is_killed(self, mutant: Mutant, tests: Sequence[str]) -> bool:
        """Return whether one of the tests fails with the mutant. Raises AddressError if nothing could run."""
        place = find_place(mutant, self.root)
        whole = place.path.read_bytes()
        changed = place.mutated(whole, mutant.becomes)
        try:
            compile(changed, place.path, "exec")
        except SyntaxError as error:
            raise AddressError(f"{mutant.id}: what it becomes does not parse: {error}") from None
        _write(place.path, changed)
        try:
            done = self.pytest("-x", *tests)
        except subprocess.TimeoutExpired:
            return True
        finally:
            _write(place.path, whole)
        if done.returncode not in {PASSED, FAILED}:
            what = f"{mutant.id}: pytest ended with {done.returncode} before any test could fail"
            raise AddressError(f"{what}\n{_last_lines(done)}")
        return done.returncode == FAILED


def _write(path: Path, content: bytes) -> None:
    """Write a module with a time derived from its content: Python identifies a compiled module by the source's time and
    size."""
    path.write_bytes(content)
    made = zlib.crc32(content)
    os.utime(path, (made, made))


def _last_lines(done: subprocess.CompletedProcess[str]) -> str:
    return "\n".join([*done.stdout.splitlines(), *done.stderr.splitlines()][-SHOWN:])


def tests_of_tier(copy: CopyOfTree, tests: Sequence[str]) -> set[str]:
    """Return those of `tests` that the tier runs. Raises AddressError if a test does not exist."""
    done = copy.pytest("--collect-only", *tests)
    if done.returncode not in {PASSED, 5}:
        raise AddressError(_last_lines(done))
    ids = {line for line in done.stdout.splitlines() if "::" in line}
    return {test for test in tests if test in ids or any(found.startswith((f"{test}[", f"{test}::")) for found in ids)}


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants", description="Check the recorded mutants.")
    parser.add_argument("--tier", choices=["test", "all"], default="all", help="the tests that may kill a mutant")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time, each in a copy of its own")
    parser.add_argument("ids", nargs="*", metavar="ID", help="only these mutants")
    options = parser.parse_args(arguments)
    try:
        mutants = [mutant for mutant in read_mutants() if not options.ids or mutant.id in options.ids]
        for mutant in mutants:
            find_place(mutant)
        copies: Queue[CopyOfTree] = Queue()
        for number in range(min(options.jobs, len(mutants))):
            copies.put(CopyOfTree(SCRATCH / str(number), options.tier))
        every = sorted({test for mutant in mutants for test in mutant.killed_by})
        first = copies.get()
        within = tests_of_tier(first, every)
        clean = first.pytest("-n", str(options.jobs), *sorted(within))
        copies.put(first)
        if clean.returncode != PASSED:
            raise AddressError(f"the tests fail without any mutant\n{_last_lines(clean)}")

        def judge(mutant: Mutant) -> bool:
            copy = copies.get()
            try:
                tests = [test for test in mutant.killed_by if test in within]
                killed = any(copy.is_killed(mutant, [test]) for test in tests)
            finally:
                copies.put(copy)
            print(f"{'killed  ' if killed else 'SURVIVES'} {mutant.id}", flush=True)
            return killed

        with ThreadPoolExecutor(options.jobs) as pool:
            killed = list(pool.map(judge, mutants))
    except AddressError as error:
        print(error, file=sys.stderr)
        return 2
    share = sum(killed) / len(killed) if killed else 1.0
    command = "make test" if options.tier == "test" else "make test-all"
    print(f"{sum(killed)} of {len(killed)} mutants killed ({share:.1%}) by the tests of {command}")
    return 0 if share >= (MUST_KILL_IN_TEST if options.tier == "test" else 1.0) else 1


if __name__ == "__main__":
    sys.exit(main())
