"""The end of the process, whatever it does: several of the server's tools block for seconds, some for half a minute."""

from __future__ import annotations

import os
import select
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
    try:
        # Not by the log, whose lock may be held. A client may have closed standard error, or read nothing of it.
        if select.select([], [sys.stderr], [], 0)[1]:
            text = f"Shutdown timed out after {LAST_SECONDS} s; forced exit.\n-> repeat the call that was under way.\n"
            os.write(sys.stderr.fileno(), text.encode())
    except (OSError, ValueError):
        pass
    finally:
        os._exit(ExitCode.DONE)
