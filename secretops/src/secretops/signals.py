"""Signals that end a command: one line, an exit code of 128 and the signal's number, never a traceback.

Imports only what every interpreter has loaded: `install` is the first act of a command's process. The module `signal`
takes milliseconds to load, so its built-in half stands for it here.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import atexit
import os
import sys

BASE = 128
"""What a shell adds to a signal's number to name the end by it."""

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

# Seconds until a signal is raised again that arrived in a finalizer, where Python can only report it.
AGAIN = 0.01


class _Phase:
    """What a signal does now, and which one arrived while the command ran."""

    begun = False
    received: int | None = None
    code: int | None = None


def install() -> None:
    """End this process at once on SIGHUP, SIGINT and SIGTERM, until `begin` is called.

    A signal that the parent process ignores stays ignored (nohup, a shell's background job). PID 1 of a container has
    no default action for SIGTERM, so it needs a handler.
    """
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)
    signal.signal(signal.SIGALRM, _handle)
    sys.unraisablehook = _raise_again
    atexit.register(_leave)  # the first that is registered runs last


def begin() -> None:
    """From now on raise KeyboardInterrupt, so that what was begun is left in order."""
    _Phase.begun = True


def end(code: int) -> int:
    """From now on ignore signals: the command has ended, and its process is about to. Returns its exit code."""
    _Phase.code = code
    if _Phase.received is not None:
        _Phase.code = BASE + _Phase.received
    return _Phase.code


def arrived() -> bool:
    """Return whether a signal arrived while the command ran."""
    return _Phase.received is not None


def _handle(number: int, _frame: object) -> None:
    if _Phase.code is not None:
        return
    if not _Phase.begun:
        os.write(2, b"stopped; nothing was begun\n")
        os._exit(BASE + number)
    if number != signal.SIGALRM:
        _Phase.received = number
    raise KeyboardInterrupt


def _leave() -> None:
    """Exit at once. Python's own finalization resets the handlers, and repeats a SIGINT that arrived in an `exec`."""
    if _Phase.code is None:
        return
    from contextlib import suppress

    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):
            stream.flush()
    os._exit(_Phase.code)


def _raise_again(unraisable: sys.UnraisableHookArgs) -> None:
    if issubclass(unraisable.exc_type, KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, AGAIN)
    else:
        sys.__unraisablehook__(unraisable)
