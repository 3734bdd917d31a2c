"""Services of a Swarm in a plan, and what their containers are made of."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, each
from policies.plan import Plan, Resource

SERVICE = "docker:index/service:Service"


def in_a_swarm(plan: Plan) -> Iterator[Resource]:
    """Everything that a manager is asked for."""
    return (one for one in plan.resources if one.type.startswith("docker:"))


def containers(plan: Plan) -> Iterator[tuple[Resource, Any]]:
    """Each service, and what its containers are made of."""
    for service in plan.of_type(SERVICE):
        yield service, at(service.properties, "taskSpec", "containerSpec")


def binds(container: Any) -> list[Any]:
    """What of its node a container is given. A mount whose type is not known may be one."""
    return [mount for mount in each(at(container, "mounts")) if at(mount, "type") not in ("tmpfs", "volume")]


def has_services(plan: Plan) -> bool:
    """Whether there is one to judge."""
    return any(plan.of_type(SERVICE))
