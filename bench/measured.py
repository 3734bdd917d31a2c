"""What a part of `make bench` gives, and where and when it was measured."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


class PartMissingError(Exception):
    """Something that is measured, or measured with, is not here: what."""


class RunFailedError(Exception):
    """What is measured ended with an error: which, and the last that it said."""


@dataclass(frozen=True)
class Measured:
    """The figures of one part."""

    text: str
    """As Markdown."""
    broken: Sequence[str] = field(default=())
    """Promises that were not kept, in words."""
    parts: str = ""
    """With what it was measured, beside the machine."""


def machine(parts: str) -> str:
    """When and where it was measured."""
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    return (
        f"{today}, commit {_commit()}. {os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}"
        f"{', ' if parts else ''}{parts}; all on this one machine. Median (least–most)."
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
