"""The Swarm store's trail: what launcher and rotator record themselves. A Swarm records no read."""

from __future__ import annotations

from secretops.platforms.swarm.trail import CHANGES, INTO_CONTAINER

from ..core.secret_store import Trail
from .names import Names

FILTERS = " ".join(f"--filter event={action}" for action in (*sorted(INTO_CONTAINER), *sorted(CHANGES)))
"""What `secretops audit` makes something of. By no label: a Swarm's events have none of what they are about."""


def trail_of(names: Names) -> Trail:
    """Where the records are, and what the managers' own event log has beside them: changes, and never a read."""
    return Trail(
        records=f"the logs of the services {names.of('server')} and {names.prefix}task-…, "
        "and of whoever starts ticks; each access is a JSON line of them",
        query=f"docker events --since 24h --until 0s --format '{{{{json .}}}}' {FILTERS}",
    )
