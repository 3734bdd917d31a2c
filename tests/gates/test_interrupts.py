"""SIGINT at 40 moments of each command: exit code 130, one line, and the next tick converges."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.gates.conftest import MakeStack
from tests.real.stack import DEADLINE, Stack

pytestmark = [pytest.mark.real, pytest.mark.slow]

# Half of them in the first 100 ms, the others until the command has ended by itself; more if too few came in time.
MOMENTS = 40
EARLY_SECONDS = 0.1
ENDS = {0, 3, 5}  # Exit codes of a command that ended before its signal.

# Starts of progress lines. A compromise also names its record when it is stopped.
PROGRESS: dict[str, str | tuple[str, ...]] = {
    "put": "agent-key: ",
    "rotate": "mqtt: ",
    "compromise": ("mqtt: ", "the incident is in "),
}

COMMANDS = {
    "status": ["status", "--json"], "doctor": ["doctor"], "audit": ["audit"], "report": ["report", "--json"],
    "put": ["put", "agent-key", "--untested"], "rotate": ["rotate", "mqtt", "--now"], "tick": ["tick"],
    "compromise": ["compromise", "mqtt", "--yes", "--new"], "purge": ["purge", "agent-key", "--destroy", "--yes"],
    "broker start": ["broker", "start"],
}  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_sigint_ends_with_130_and_the_next_tick_converges(name: str, stack_on: MakeStack, tmp_path: Path) -> None:
    stack = stack_on("mosquitto")
    stack.rotate()
    began = time.monotonic()
    assert _end(_start(stack, name, tmp_path))[0] in ENDS
    longest = time.monotonic() - began
    codes: list[int] = []
    while len(codes) < MOMENTS or codes.count(130) < MOMENTS // 2:
        assert len(codes) < 5 * MOMENTS, codes
        share = 2 * (len(codes) % MOMENTS) / MOMENTS
        process = _start(stack, name, tmp_path)
        _await_handler(process)
        time.sleep(EARLY_SECONDS * share if share < 1 else EARLY_SECONDS + longest * (share - 1))
        process.send_signal(signal.SIGINT)
        code, text = _end(process)
        codes.append(code)
        assert code in {130, *ENDS}, text
        assert "Traceback" not in text and "Exception ignored" not in text, text
        others = [line for line in text.splitlines() if not line.startswith(PROGRESS.get(name, ()))]
        assert (code == 130) is (others == text.splitlines()[-1:] and text.count("interrupted; ") == 1), text
    stack.skip_grace()
    assert [each.error for each in stack.tick() if each.secret == "mqtt"] == [None]
    assert stack.log_in() == "Success"


def _start(stack: Stack, name: str, folder: Path) -> subprocess.Popen[str]:
    if name == "purge":
        stack.put("agent-key", {"api-key": "of-this-test"})
    process = subprocess.Popen(
        stack.command(*COMMANDS[name]), cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE, text=True, env={**os.environ, **stack.environment},
    )  # fmt: skip
    assert process.stdin
    process.stdin.write("of-this-test")
    process.stdin.close()
    process.stdin = None
    return process


def _await_handler(process: subprocess.Popen[str]) -> None:
    """Wait until the process handles SIGTERM. Before, the interpreter is starting, with its own SIGINT handler."""
    bit = 1 << (signal.SIGTERM - 1)
    while process.poll() is None:
        status = Path(f"/proc/{process.pid}/status").read_text()
        if int(status.partition("SigCgt:")[2].split()[0], 16) & bit:
            return
        time.sleep(0.001)


def _end(process: subprocess.Popen[str]) -> tuple[int, str]:
    text = process.communicate(timeout=DEADLINE)[1]
    return process.returncode, text
