"""Run long steps, with progress, and with remedies for failures."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOLS = ROOT / ".tools"

# Seconds between lines of progress.
SHOW_EVERY = 10.0

# Maximum lines of a failed step's output that are printed.
LAST_LINES = 15


# What uv, pip, Go and npm print for a certificate of an unknown CA, such as that of a company's proxy.
_UNTRUSTED = re.compile(
    r"certificate.verify.failed|invalid peer certificate|x509: certificate|self.signed", re.IGNORECASE
)
PRIVATE_CA = (
    "export SSL_CERT_FILE (for pip PIP_CERT, for npm NODE_EXTRA_CA_CERTS) with the PEM file of your network's CA"
)


class SetupError(Exception):
    """A step failed. The text has the step, its output and the remedy."""

    def __init__(self, step: str, output: str, remedy: str) -> None:
        super().__init__(f"{step}: failed\n{output}\n-> {remedy}")


def say(line: str) -> None:
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
    """Run a step. Return its output. Raises SetupError. The child process ends when this process ends.

    `env` extends the environment. Progress messages count the lines of output as `counts`, such as "packages compiled".
    """
    with step_in_background(step, argv, remedy=remedy, cwd=cwd, env=env) as running, running.signs_of_life(counts):
        running.child.wait()
    return running.text


@dataclass
class Running:
    """A running step. `text` is its output, once it has ended."""

    child: subprocess.Popen[bytes]
    output: int
    text: str = ""

    @contextlib.contextmanager
    def signs_of_life(self, counts: str) -> Iterator[None]:
        """Print elapsed time and the number of output lines (`counts`) every SHOW_EVERY seconds, while the block
        runs."""
        started, ended = time.monotonic(), threading.Event()

        def show() -> None:
            while not ended.wait(SHOW_EVERY):
                lines = os.pread(self.output, os.fstat(self.output).st_size, 0).count(b"\n")
                say(f"  {time.monotonic() - started:.0f} s" + (f", {lines} {counts}" if lines else ""))

        thread = threading.Thread(target=show, daemon=True)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


@contextlib.contextmanager
def step_in_background(
    step: str, argv: Sequence[str | Path], *, remedy: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Run a step in the background during the block, then wait for its end. Raises SetupError."""
    say(f"- {step}")
    with tempfile.TemporaryFile() as output:
        running: Running | None = None
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
                running = Running(child, output.fileno())
            yield running
            code = child.wait()
        except OSError as error:
            if running:
                raise
            raise SetupError(step, f"  {argv[0]}: {error.strerror}", remedy) from error
        finally:
            if running and running.child.poll() is None:
                running.child.terminate()
                running.child.wait()
        output.seek(0)
        running.text = output.read().decode(errors="replace")
    if code != 0:
        if _UNTRUSTED.search(running.text):
            remedy = f"{PRIVATE_CA}; or {remedy}"
        last = running.text.splitlines()[-LAST_LINES:] or ["(no output)"]
        raise SetupError(f"{step} (exit code {code})", "\n".join(f"  {line}" for line in last), remedy)


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    # A signal while the block starts the child would leave a child that nothing terminates.
    if threading.current_thread() is not threading.main_thread():  # only the main thread gets signals
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


def write_whole(path: Path, text: str, *, mode: int = 0o644) -> None:
    """Write a file atomically: completely or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    part.write_text(text)
    part.chmod(mode)
    part.replace(path)
