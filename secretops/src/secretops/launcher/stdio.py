"""Shutdown over stdio. A signal closes standard input, because mcp reads it in a thread that cannot be cancelled.

A deadline then ends the process, because the server's tools may block for up to half a minute.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from types import FrameType

from secretops.errors import ExitCode

# Longest time from the signal to the end of the process, in seconds.
LAST_SECONDS = 4.5

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def set_exit_deadline() -> None:
    last = threading.Timer(LAST_SECONDS, _end_now)
    last.daemon = True
    last.start()


def _end_now() -> None:
    try:
        # Not through the log: another thread may hold its lock. Standard error may be closed or full.
        if select.select([], [sys.stderr], [], 0)[1]:
            text = f"Shutdown timed out after {LAST_SECONDS} s; forced exit.\n-> repeat the interrupted call\n"
            os.write(sys.stderr.fileno(), text.encode())
    except (OSError, ValueError):
        pass
    finally:
        os._exit(ExitCode.DONE)


class ClosableInput(io.RawIOBase):
    """Input from a descriptor. `end` makes every read return end of file, even a read that is waiting."""

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._ended, self._end = os.pipe()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        ready, _, _ = select.select([self._descriptor, self._ended], [], [])
        if self._ended in ready:
            return 0
        data = os.read(self._descriptor, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def end(self) -> None:
        os.write(self._end, b"\0")


@contextlib.contextmanager
def handle_signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    # nohup ignores SIGHUP
    numbers = [each for each in _SIGNALS if each != signal.SIGHUP or signal.getsignal(each) != signal.SIG_IGN]
    handlers = [(number, signal.signal(number, handler)) for number in numbers]
    try:
        yield
    finally:
        for number, before in handlers:
            signal.signal(number, before)


@contextlib.contextmanager
def ended_by_signals() -> Iterator[None]:
    """Close standard input on a signal, and limit the time to exit. A second signal kills the process."""
    standard_input = ClosableInput(sys.stdin.fileno())

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            if signal.getsignal(number) == end:
                signal.signal(number, signal.SIG_DFL)
        standard_input.end()
        set_exit_deadline()

    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BufferedReader(standard_input), encoding="utf-8")
    try:
        with handle_signals(end):
            yield
    finally:
        sys.stdin = before
