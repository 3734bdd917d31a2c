"""Measures the launcher beside the bare upstream server, and writes the figures to docs/performance.md.

    .venv/bin/python -m bench

Progress goes to standard error. Exit code 0: done. 1: done, and the launcher did not keep a promise. 2: a part that it
needs is not here. What it measures and how is said in docs/performance.md.
"""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench import hot_swap, overhead, page
from secretops.errors import SecretopsError
from secretops.launcher.checkout import UPSTREAM_COMMIT, find_server
from tests.real.mosquitto import installed_mosquitto, start_mosquitto

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "performance.md"

LONGEST_SWAP = 100
"""Milliseconds, for the median."""

DONE, PROMISE_BROKEN, PART_MISSING = 0, 1, 2


def main() -> int:
    """Run everything and write the page."""
    began = time.monotonic()

    def say(line: str) -> None:
        print(f"{time.monotonic() - began:4.0f} s {line}", file=sys.stderr, flush=True)

    if sys.platform != "linux" or not (installed := installed_mosquitto()):
        say("it needs Linux, and mosquitto with its dynamic security plugin")
        return PART_MISSING
    try:
        server = find_server().folder
    except SecretopsError as error:
        print(error, file=sys.stderr)
        return PART_MISSING
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        for part in ("broker", "launcher", "bare"):
            (folder / part).mkdir()
        mosquitto = start_mosquitto(folder / "broker")
        try:
            say("cost while nothing changes")
            costs = overhead.measure(folder / "overhead", mosquitto, server, say)
            say("users through every change: the launcher over HTTP")
            launcher = hot_swap.launcher(folder / "launcher", mosquitto, server, say)
            say("users through every change: the bare server, restarted")
            bare = hot_swap.bare(folder / "bare", mosquitto, server, say)
        finally:
            mosquitto.stop()
    page.write(PAGE, page.render(machine(installed[0]), launcher, bare, costs))
    say(f"written: {PAGE.relative_to(ROOT)}")
    broken = broken_promises(launcher)
    for promise in broken:
        say(f"NOT KEPT: {promise}")
    return PROMISE_BROKEN if broken else DONE


def broken_promises(launcher: hot_swap.Run) -> list[str]:
    """What the launcher's users were not spared."""
    swap = statistics.median(launcher.swaps)
    checks = {
        f"{launcher.failed} of {launcher.calls} calls failed": launcher.failed > 0,
        f"{launcher.calls} calls are too few": launcher.calls < hot_swap.LEAST_CALLS,
        f"{launcher.lost} acknowledged publishes never arrived": launcher.lost > 0,
        f"{launcher.unread} messages to subscribed topics are lost": launcher.unread > 0,
        f"swaps take {swap:.0f} ms, more than {LONGEST_SWAP}": swap > LONGEST_SWAP,
    }
    return [told for told, is_broken in checks.items() if is_broken]


def machine(mosquitto: str) -> str:
    """When, where and with what it was measured."""
    today = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d")
    help_text = subprocess.run([mosquitto, "-h"], capture_output=True, text=True, check=False).stdout
    broker = help_text.partition("\n")[0].replace(" version", "")
    packages = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in ("mcp", "paho-mqtt"))
    return (
        f"{today}, commit {_commit()}; upstream server {UPSTREAM_COMMIT[:12]}. "
        f"{os.cpu_count()} cores ({_processor()}), "
        f"{platform.system()} {platform.release().partition('-')[0]}, Python {platform.python_version()}, {packages}, "
        f"{broker} with TLS and client certificates, all on this one machine. Median (least–most)."
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


if __name__ == "__main__":
    sys.exit(main())
