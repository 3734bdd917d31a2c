"""Entry point of a remote command's task: `secretops` itself, with what an operator supplied as its input.

python -m secretops.platforms.swarm.task_main COMMAND...
"""

from __future__ import annotations

import sys

from secretops import signals
from secretops.redaction import forbid_core_dumps


def main() -> None:
    """End with the command's exit code."""
    signals.install()
    forbid_core_dumps()
    from secretops import cli
    from secretops.platforms.swarm.task import GIVEN, SECRETS

    given = SECRETS / GIVEN
    if given.is_file():
        sys.stdin = given.open(encoding="utf-8")
    cli.main()


if __name__ == "__main__":
    main()
