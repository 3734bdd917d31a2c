"""Keeps values out of core dumps, and the memory of this process from other processes of its account."""

from __future__ import annotations

import contextlib
import ctypes
import sys

# prctl(2): PR_SET_DUMPABLE. A core_pattern that is a pipe (systemd-coredump) ignores RLIMIT_CORE; this it obeys.
_PR_SET_DUMPABLE = 4


def forbid_core_dumps() -> None:
    """Write no core dump of this process, and let no other process attach to it. Best effort; never raises.

    Children inherit the limit alone: a program that they start is dumpable again. Linux has the second half, every
    Unix the first.
    """
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
