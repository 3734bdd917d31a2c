"""What runs in the task that a command was carried into: `secretops` itself, with what was supplied as its input.

python -m secretops.entrypoints.carried COMMAND...
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from secretops.core_dumps import forbid_core_dumps
from secretops.errors import ExitCode


def main() -> None:
    """End with the command's exit code."""
    forbid_core_dumps()
    signal.signal(signal.SIGTERM, _end)  # as PID 1 it would be deaf while it loads the rest; then the command listens
    from secretops import cli
    from secretops.operations.load import GIVEN
    from secretops.task import SECRETS

    given = SECRETS / GIVEN
    if given.is_file():
        sys.stdin = given.open(encoding="utf-8")
    cli.main()


def _end(_number: int, _frame: FrameType | None) -> None:
    sys.exit(int(ExitCode.FAILED))


if __name__ == "__main__":
    main()
