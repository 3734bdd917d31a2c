"""The rotator as a service of one replica on a manager: run a tick, wait, and repeat until stopped.

    python -m secretops.platforms.swarm.rotator

SECRETOPS_MANIFEST names the manifest. A timer on the manager's machine is safer: then no long-lived container has the
daemon's socket (docs/operations/swarm.md).
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path

from secretops import printable, redaction
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.operations.stack import load_manifest
from secretops.platform import platform_of
from secretops.redaction import forbid_core_dumps

# Seconds from the end of one tick to the next.
EVERY = 3600.0


def main() -> None:
    """Run ticks. Exits with 0 if a signal stops it, and with a documented code if it can't start."""
    forbid_core_dumps()
    printable.install()
    redaction.install()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        file = os.environ.get("SECRETOPS_MANIFEST")
        manifest = load_manifest(None, Path(file) if file else None)
        remote = platform_of(manifest.store).remote_command(manifest)
        if remote is None:
            raise UsageError(
                f"the stack has store {manifest.store.kind}",
                rule="the rotator service requires a store that mounts secrets, such as swarm",
                remedy="run secretops tick on a schedule",
                code="rotator-not-for-store",
            )
        while True:
            tick(lambda: remote(("tick", "--scheduled")))
            threading.Event().wait(EVERY)
    except SecretopsError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a container's log
        sys.exit(int(error.exit_code))
    except KeyboardInterrupt:
        sys.exit(int(ExitCode.DONE))


def tick(run: Callable[[], int]) -> None:
    """Run one tick. Prints every exception instead of exiting, since Docker would restart the process, and tick again
    at once."""
    try:
        run()
    except Exception as error:
        text = str(error) if isinstance(error, SecretopsError) else traceback.format_exc()
        print(redaction.redact(text), file=sys.stderr, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
