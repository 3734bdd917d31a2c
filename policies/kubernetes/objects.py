"""Objects of a cluster in a plan, and the pods that some of them start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, each
from policies.plan import UNKNOWN, Plan, Resource

_TEMPLATE: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job"), ("spec", "template")),
}
"""Kind -> where its pods are described."""

_IDENTITY = "coreflux-mcp-secrets:kubernetes:Identity"
SERVER = "coreflux-mcp-secrets:kubernetes:McpServer"
ROTATOR = "coreflux-mcp-secrets:kubernetes:Rotator"
"""Components: what belongs to them has to be there, whether or not anything of it is."""


def objects(plan: Plan) -> Iterator[Resource]:
    """Everything that the API server is asked for."""
    return (one for one in plan.resources if one.type.startswith("kubernetes:"))


def in_a_cluster(plan: Plan) -> bool:
    """Whether something of the stack runs in one, and so a namespace is its own."""
    return any(plan.of_type(_IDENTITY)) or any(of_kind(plan, "Namespace"))


def kind_of(one: Resource) -> str:
    """As Deployment, of whatever version."""
    return one.type.rpartition(":")[2]


def of_kind(plan: Plan, *kinds: str) -> Iterator[Resource]:
    """The objects of one of these kinds."""
    return (one for one in objects(plan) if kind_of(one) in kinds)


def pods(plan: Plan) -> Iterator[tuple[Resource, Any]]:
    """Whatever starts pods, and what it says of them."""
    for one in of_kind(plan, *_TEMPLATE):
        yield one, at(one.properties, *_TEMPLATE[kind_of(one)], "spec")


def asked_of_pods(plan: Plan) -> Iterator[tuple[Resource, Any]]:
    """Whatever starts pods, and their annotations."""
    for one in of_kind(plan, *_TEMPLATE):
        yield one, at(one.properties, *_TEMPLATE[kind_of(one)], "metadata", "annotations")


def containers(plan: Plan) -> Iterator[tuple[Resource, Any, Any, str]]:
    """Of each pod: whatever starts it, its description, one of its containers, and that one's name as a person reads
    it."""
    for one, pod in pods(plan):
        for list_of in ("containers", "initContainers", "ephemeralContainers"):
            for container in each(at(pod, list_of)):
                name = at(container, "name")
                yield one, pod, container, "a container" if name is UNKNOWN else f"container {name}"


def named(one: Resource) -> Any:
    """Its name in the cluster."""
    return at(one.properties, "metadata", "name")


def namespace_of(one: Resource) -> Any:
    """The namespace that it is in."""
    return at(one.properties, "metadata", "namespace")
