"""Signals that end a command: one line, an exit code of 128 and the signal's number, never a traceback.

Imports nothing but the standard library's smallest modules: `install` is the first act of a command's process.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType

BASE = 128
"""What a shell adds to a signal's number to name the end by it."""

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

# Seconds until a signal is raised again that arrived in a finalizer, where Python can only report it.
AGAIN = 0.01


class _Phase:
    """What a signal does now, and which one arrived while the command ran."""

    begun = ended = False
    received: int | None = None


def install() -> None:
    """End this process at once on SIGHUP, SIGINT and SIGTERM, until `begin` is called.

    A signal that the parent process ignores stays ignored (nohup, a shell's background job). PID 1 of a container has
    no default action for SIGTERM, so it needs a handler.
    """
    for number in ENDING:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _handle)
    signal.signal(signal.SIGALRM, _handle)
    sys.unraisablehook = _raise_again


def begin() -> None:
    """From now on raise KeyboardInterrupt, so that what was begun is left in order."""
    _Phase.begun = True


def end() -> None:
    """From now on ignore signals: the command has ended, and its process is about to."""
    _Phase.ended = True


def exit_code() -> int | None:
    """Return the exit code for the signal that arrived while the command ran, or None."""
    return None if _Phase.received is None else BASE + _Phase.received


def _handle(number: int, _frame: FrameType | None) -> None:
    if _Phase.ended:
        return
    if not _Phase.begun:
        os.write(2, b"stopped; nothing was begun\n")
        os._exit(BASE + number)
    if number != signal.SIGALRM:
        _Phase.received = number
    raise KeyboardInterrupt


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
    else:
        sys.__unraisablehook__(unraisable)
