"""What runs in the task that a command was carried into: `secretops` itself, with what was supplied as its input.

python -m secretops.platforms.swarm.task_main COMMAND...
"""

from __future__ import annotations

import sys

from secretops import signals
from secretops.core_dumps import forbid_core_dumps


def main() -> None:
    """End with the command's exit code."""
    signals.install()
    forbid_core_dumps()
    from secretops import cli
    from secretops.platforms.swarm.task import SECRETS
    from secretops.platforms.swarm.task_payload import GIVEN

    given = SECRETS / GIVEN
    if given.is_file():
        sys.stdin = given.open(encoding="utf-8")
    cli.main()


if __name__ == "__main__":
    main()
