"""Serving over standard input and output, with an end that can be asked for.

The mcp package reads standard input in a thread that cannot be cancelled, so a signal would wait for the next message.
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import signal
import sys
from collections.abc import Iterator
from types import FrameType

from secretops.launcher.deadline import end_at_last

_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class EndableInput(io.RawIOBase):
    """A file descriptor that also reads as ended once `end` was called, even by a read that waits already."""

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
def ended_by_signals() -> Iterator[None]:
    """Within, SIGTERM and SIGINT end standard input, so that calls under way are still answered, for 4.5 s at most; a
    second signal kills."""
    standard_input = EndableInput(sys.stdin.fileno())

    def end(_number: int, _frame: FrameType | None) -> None:
        for number in _SIGNALS:
            signal.signal(number, signal.SIG_DFL)
        standard_input.end()
        end_at_last()

    before = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BufferedReader(standard_input), encoding="utf-8")
    handlers = [(number, signal.signal(number, end)) for number in _SIGNALS]
    try:
        yield
    finally:
        sys.stdin = before
        for number, handler in handlers:
            signal.signal(number, handler)
