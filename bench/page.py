"""Write each part's figures between its two marks in docs/performance.md, with the time and the machine."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"


class PartMissingError(Exception): ...


class RunFailedError(Exception):
    """A measured program failed. The text has the last lines of its output."""


@dataclass(frozen=True)
class Measured:
    text: str
    broken: Sequence[str] = ()
    versions: str = ""  # versions of the measured programs, if the machine's description is not enough


def write(part: str, measured: Measured, page: Path = PAGE) -> None:
    """Write the figures between the marks of `part`. Raises ValueError if the page lacks a mark."""
    first, last = f"<!-- make bench, {part}: begin -->", f"<!-- make bench, {part}: end -->"
    before, begin, rest = page.read_text().partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{page.name} has no line {first} with a line {last} after it")
    page.write_text(f"{before}{first}\n\n{_machine(measured.versions)}\n\n{measured.text.strip()}\n\n{last}{after}")


def spread(numbers: Sequence[float], unit: str, digits: int) -> str:
    if not numbers:
        return "–"
    middle = f"{statistics.median(numbers):.{digits}f} {unit}"
    return middle if len(numbers) == 1 else f"{middle} ({min(numbers):.{digits}f}–{max(numbers):.{digits}f})"


def table(rows: Iterable[Sequence[str]]) -> str:
    head, *body = rows
    lines = [f"| {' | '.join(row)} |" for row in (head, *body)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def _machine(versions: str) -> str:
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    return (
        f"{today}, commit {_commit()}. {os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
        f"{', ' if versions else ''}{versions}; all on this one machine. Figures: median (least–most)."
    )


def _processor() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    def git(*arguments: str) -> str:
        done = subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
        return done.stdout.strip()

    changed = [line for line in git("status", "--porcelain").splitlines() if not line.endswith("docs/performance.md")]
    return (git("rev-parse", "--short=12", "HEAD") or "unknown") + (" and changes" if changed else "")
