"""End a command on a signal: one line, exit code 128 + signal number, no traceback.

Imports only modules that every interpreter has loaded, because the handlers are installed before all other imports.
"""

from __future__ import annotations

import _signal as signal  # type: ignore[import-not-found]
import atexit
import os
import sys

TYPE_CHECKING = False  # as typing's, which is not loaded yet
if TYPE_CHECKING:
    from types import FrameType

# A shell's exit code for a process that ended by a signal, minus the signal's number.
BASE = 128

ENDING = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)

# Python only prints a KeyboardInterrupt that a finalizer raises. It is raised again after this many seconds.
AGAIN = 0.01

# Modules that drop a KeyboardInterrupt, or turn it into another error, also if a function that they call raises it.
# While one of them is on the stack, the handler waits AGAIN seconds and looks again.
UNSAFE = ("pydantic", "importlib", "_frozen_importlib")


class _Phase:
    begun = False
    unchanged = False
    received: int | None = None
    code: int | None = None


def install() -> None:
    """Exit at once on SIGHUP, SIGINT and SIGTERM, until `begin` is called. Ignored signals (nohup) stay ignored.

    Without a handler, PID 1 of a container ignores SIGTERM.
    """
    for number in ENDING:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _handle)
    signal.signal(signal.SIGALRM, _handle)
    sys.unraisablehook = _raise_again
    atexit.register(_leave)  # registered first, so it runs last


def begin() -> None:
    """Raise KeyboardInterrupt on signals from now on, so that the command can clean up."""
    _Phase.begun = True


def end(code: int) -> int:
    """Ignore further signals. Return `code`, or 128 + the number of a signal that arrived earlier."""
    _Phase.code = code
    if _Phase.received is not None:
        _Phase.code = BASE + _Phase.received
    return _Phase.code


def arrived() -> bool:
    return _Phase.received is not None


# A block in which a command waits for input and has changed nothing yet.
class BeforeChanges:
    def __enter__(self) -> None:
        _Phase.unchanged = True

    def __exit__(self, kind: object, *_: object) -> None:
        _Phase.unchanged = kind is not None


def unchanged() -> bool:
    return _Phase.unchanged


def _handle(number: int, frame: FrameType | None) -> None:
    if _Phase.code is not None:
        return
    if not _Phase.begun:
        os.write(2, b"interrupted; nothing was started\n")
        os._exit(BASE + number)
    if number != signal.SIGALRM:
        _Phase.received = number
    while frame is not None:
        if str(frame.f_globals.get("__name__")).startswith(UNSAFE):
            signal.setitimer(signal.ITIMER_REAL, AGAIN)
            return
        frame = frame.f_back
    signal.setitimer(signal.ITIMER_REAL, 0)  # an earlier signal may wait
    raise KeyboardInterrupt


def _leave() -> None:
    """Exit without Python's finalization, which would reset the signal handlers."""
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
