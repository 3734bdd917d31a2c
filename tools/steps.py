"""How the tools run a long step: it says what it does, shows that it lives, and ends a failure with the remedy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"

SHOW_EVERY = 10.0
"""Seconds between two signs of life of a long step."""

LAST_LINES = 15
"""Lines of a failed step's output that are worth showing; the cause is nearly always among them."""


class SetupError(Exception):
    """A step failed for a reason that the user can act on: what failed, what it said, what to do."""

    def __init__(self, step: str, said: str, remedy: str) -> None:
        super().__init__(f"{step}: failed\n{said}\nremedy: {remedy}")


def say(line: str) -> None:
    """One line of progress, at once even into a pipe."""
    print(line, flush=True)


def run_step(
    step: str,
    argv: Sequence[str | Path],
    *,
    remedy: str,
    cwd: Path = ROOT,
    env: Mapping[str, str] | None = None,
    counts: str = "lines of output",
) -> str:
    """Run one step and return what it wrote to both its outputs.

    `env` is laid over the environment of this process. `counts` names what a line of output stands for, so that a sign
    of life can count it. The child ends with this process: an interrupted set-up leaves no build behind. Raises
    SetupError when it cannot be started or ends with another code than 0.
    """
    say(f"- {step}")
    with tempfile.TemporaryFile() as output:
        child: subprocess.Popen[bytes] | None = None
        try:
            with _signals_held_back():
                child = subprocess.Popen(
                    [str(word) for word in argv],
                    cwd=cwd,
                    env={**os.environ, **(env or {})},
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            with _signs_of_life(output.fileno(), counts):
                code = child.wait()
        except OSError as error:
            raise SetupError(step, f"  {argv[0]}: {error.strerror}", remedy) from error
        finally:
            if child and child.poll() is None:
                child.terminate()
                child.wait()
        output.seek(0)
        text = output.read().decode(errors="replace")
    if code != 0:
        last = text.splitlines()[-LAST_LINES:] or ["(it said nothing)"]
        raise SetupError(f"{step} (exit code {code})", "\n".join(f"  {line}" for line in last), remedy)
    return text


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """SIGINT and SIGTERM wait for the end of the block: between a child's start and its name it could not be ended."""
    if threading.current_thread() is not threading.main_thread():  # only that one is given signals
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for one in came:
        signal.raise_signal(one)


@contextlib.contextmanager
def _signs_of_life(output: int, counts: str) -> Iterator[None]:
    started, ended = time.monotonic(), threading.Event()

    def show() -> None:
        while not ended.wait(SHOW_EVERY):
            lines = os.pread(output, os.fstat(output).st_size, 0).count(b"\n")
            say(f"  {time.monotonic() - started:.0f} s" + (f", {lines} {counts}" if lines else ""))

    thread = threading.Thread(target=show, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file so that it is there whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)
