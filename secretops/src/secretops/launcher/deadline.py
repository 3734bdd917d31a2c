"""The end of the process, whatever it does: several of the server's tools block for seconds, some for half a minute."""

from __future__ import annotations

import os
import sys
import threading

from secretops.errors import ExitCode

# From the signal to the end at the latest.
LAST_SECONDS = 4.5


def end_at_last() -> None:
    """End the process in LAST_SECONDS, unless it has ended by then."""
    last = threading.Timer(LAST_SECONDS, _end_now)
    last.daemon = True
    last.start()  # nothing cancels it: the process ends


def _end_now() -> None:
    # Not by the log: whatever hangs may hold its lock.
    os.write(sys.stderr.fileno(), f"Something still ran {LAST_SECONDS} s after the signal; ended anyway.\n".encode())
    os._exit(ExitCode.DONE)
