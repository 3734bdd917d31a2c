"""What runs beside the secrets is an image that somebody chose, whatever runs it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws import tasks_closed as ecs
from policies.azure.rules import RUN
from policies.containers import pinned
from policies.kubernetes import objects as cluster
from policies.matchers import at, each, judge
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule
from policies.swarm import rules as swarm


def _containers(plan: Plan) -> Iterator[tuple[Resource, Any]]:
    """Each container, and what runs it."""
    for one, _, container, _ in cluster.containers(plan):
        yield one, container
    yield from swarm.containers(plan)
    for task in plan.of_type(ecs.TASK):
        for container in ecs.containers(task) or ():
            yield task, container
    for app in plan.of_type(*RUN):
        for kind in ("containers", "initContainers"):
            for container in each(at(app.properties, "template", kind)):
                yield app, container


def _look(plan: Plan) -> Iterator[Finding]:
    for task in plan.of_type(ecs.TASK):
        if ecs.containers(task) is None:
            yield ecs.no_containers(task)
    for one, container in _containers(plan):
        yield from judge(
            one,
            at(container, "image"),
            pinned,
            "the image of a container",
            "is latest, or has no tag: that is another one each day; name a tag or a digest",
        )


RULE = Rule(
    name="stack-images-are-pinned",
    sentence="Every container's image has a digest, or a tag other than latest.",
    controls=(
        Control(Framework.SOC_2, "CC8.1", "what runs changes when the stack file does"),
        Control(Framework.PCI_DSS, "6.5.1", "a change of what runs is one that somebody made and can review"),
        Control(Framework.HIPAA, "164.312(c)(1)", "what reads secrets is what was chosen"),
        Control(Framework.GDPR, "32(1)(b)", "the readers of secrets stay whole"),
    ),
    limitation="That a tag is never moved in its registry: only a digest can't be.",
    applies=lambda plan: any(_containers(plan)) or any(plan.of_type(ecs.TASK)),
    across=_look,
)
