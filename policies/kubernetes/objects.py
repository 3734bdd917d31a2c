"""Objects of a cluster, and the pods that they start."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, each
from policies.plan import UNKNOWN, Plan, Resource

# Kind -> path of the kind's pod template.
_TEMPLATE: Mapping[str, tuple[str, ...]] = {
    "Pod": (),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    **dict.fromkeys(("Deployment", "DaemonSet", "StatefulSet", "ReplicaSet", "Job"), ("spec", "template")),
}

# Types of all objects that start pods, in any version of their API.
PODS = tuple(f"kubernetes:*:{kind}" for kind in _TEMPLATE)

# Types of components. With them, a rule can require a resource that the plan lacks.
IDENTITY = "coreflux-mcp-secrets:kubernetes:Identity"
SERVER = "coreflux-mcp-secrets:kubernetes:McpServer"
ROTATOR = "coreflux-mcp-secrets:kubernetes:Rotator"


def kind_of(one: Resource) -> str:
    return one.type.rpartition(":")[2]


def of_kind(plan: Plan, *kinds: str) -> Iterator[Resource]:
    return (one for one in plan.resources if one.type.startswith("kubernetes:") and kind_of(one) in kinds)


def in_a_cluster(plan: Plan) -> bool:
    """Return whether the stack runs something in a cluster, and thus has a namespace."""
    return any(plan.of_type(IDENTITY)) or any(of_kind(plan, "Namespace"))


def pod_of(one: Resource) -> Any:
    return at(one.properties, *_TEMPLATE[kind_of(one)], "spec")


def annotations_of(one: Resource) -> Any:
    return at(one.properties, *_TEMPLATE[kind_of(one)], "metadata", "annotations")


def containers_of(one: Resource) -> Iterator[tuple[Any, str]]:
    """Yield each container of a pod, with its name for messages."""
    for list_of in ("containers", "initContainers", "ephemeralContainers"):
        for container in each(at(pod_of(one), list_of)):
            name = at(container, "name")
            yield container, "a container" if name is UNKNOWN else f"container {name}"


def name_of(one: Resource) -> Any:
    return at(one.properties, "metadata", "name")


def namespace_of(one: Resource) -> Any:
    return at(one.properties, "metadata", "namespace")
