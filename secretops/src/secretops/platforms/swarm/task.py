"""Whether this process is the task of a Swarm that a command was carried into (platforms/swarm/remote_command.py)."""

from __future__ import annotations

import os
from pathlib import Path

from secretops.access import this_actor

VARIABLE = "SECRETOPS_TASK"
"""Of the task: its name."""

STARTER = "SECRETOPS_STARTER"
"""Of the task: who carried the command there, `account@host`. Public, and as true as whoever may start a task."""

SECRETS = Path("/run/secrets")
"""Where a task finds its secrets as files. In that of a carried command each has the name that it has in the Swarm."""


def is_task() -> bool:
    """Whether values can be read here, and nothing is carried further."""
    return bool(os.environ.get(VARIABLE))


def actor(role: str) -> str:
    """Who acts in `role`, for an access record: in a task whoever started it, else this process's account."""
    starter = os.environ.get(STARTER)
    return f"{role}:{starter}" if is_task() and starter else this_actor(role)


def starter() -> str:
    """This process's account, as a task that it starts is told."""
    return this_actor("").removeprefix(":")
