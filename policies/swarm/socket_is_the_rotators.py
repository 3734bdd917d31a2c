"""Whoever has a manager's socket reads every secret of the Swarm. One service may have it, and nobody reaches that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule
from policies.swarm.services import binds, containers, has_services

_ON_A_MANAGER = "node.role==manager"
_ROTATOR = "coreflux-mcp-secrets:swarm:Rotator"


def _is_socket(said: tuple[Any, Any, Any]) -> bool:
    """Whether it is what the container's own DOCKER_HOST names: no program asks a daemon by a folder."""
    source, target, host = said
    return isinstance(source, str) and source == target and host == f"unix://{source}"


def _look(plan: Plan) -> Iterator[Finding]:
    holders = 0
    for service, container in containers(plan):
        mounts = binds(container)
        for mount in mounts:
            yield from judge(
                service,
                (at(mount, "source"), at(mount, "target"), at(container, "env", "DOCKER_HOST")),
                _is_socket,
                "what its containers have of their node",
                "is not the socket that its DOCKER_HOST names: others' values lie there; take the mount out",
            )
        if not mounts:
            continue
        holders += 1
        spec = service.properties
        for entry, keeps, wrong in (
            (
                at(spec, "taskSpec", "placement", "constraints"),
                lambda said: _ON_A_MANAGER in listed(said),
                f"is on any node: only a manager's answers; constrain it to {_ON_A_MANAGER}",
            ),
            (
                at(spec, "endpointSpec", "ports"),
                lambda ports: not ports,
                "is of a service that others reach: take its ports out",
            ),
            (
                at(spec, "mode", "replicated", "replicas"),
                lambda count: count == 1,
                "is of more than one replica: one rotates at a time; say 1",
            ),
            (holders, lambda count: count == 1, "is held by a second service: the rotator alone needs it"),
        ):
            yield from judge(service, entry, keeps, "the daemon's socket", wrong)
    if not holders and any(plan.of_type(_ROTATOR)):
        yield Finding(plan.urn, "no service holds the daemon's socket: nothing rotates; add the rotator's service")


RULE = Rule(
    name="swarm-socket-is-the-rotators",
    sentence="Only one service, of one replica on a manager and without a port, has the daemon's socket.",
    controls=(
        Control(Framework.SOC_2, "CC6.3", "the right to give any secret away is one program's"),
        Control(Framework.PCI_DSS, "7.2.5", "system accounts have the least privileges"),
        Control(Framework.HIPAA, "164.312(a)(1)", "who can read every secret is one program that nobody reaches"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets are kept apart"),
    ),
    limitation="Who else may use a manager's socket: whoever is in the group docker there.",
    applies=lambda plan: has_services(plan) or any(plan.of_type(_ROTATOR)),
    across=_look,
)
