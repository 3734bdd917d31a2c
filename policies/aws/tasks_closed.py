"""A container of a task can do no more than it has to: no privilege, a root that is read-only, a log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, listed
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

TASK = "aws:ecs/taskDefinition:TaskDefinition"


def containers(task: Resource) -> list[Any] | None:
    """Those of a task definition; None where they are not known yet, or no list."""
    told = at(task.properties, "containerDefinitions")
    try:
        found = json.loads(told) if isinstance(told, str) else None
    except ValueError:
        found = None
    return found if isinstance(found, list) else None


def no_containers(task: Resource) -> Finding:
    """Why there are none to judge."""
    is_unknown = at(task.properties, "containerDefinitions") is UNKNOWN
    told = "are known after pulumi up" if is_unknown else "are no list; write them as JSON"
    return Finding(task.urn, f"its containers {told}", unknown=is_unknown)


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(TASK))


def _look(plan: Plan) -> Iterator[Finding]:
    for task in plan.of_type(TASK):
        found = containers(task)
        if found is None:
            yield no_containers(task)
        for one in found or ():
            yield from _closed(task, one, f"the container {at(one, 'name')}:")


def _closed(task: Resource, one: Any, of: str) -> Iterator[Finding]:
    capabilities = at(one, "linuxParameters", "capabilities")
    log = at(one, "logConfiguration", "logDriver")
    yield from judge(task, at(one, "privileged"), lambda on: not on, f"{of} privileged", "is on; leave it off")
    root = at(one, "readonlyRootFilesystem")
    yield from judge(task, root, lambda on: on is True, f"{of} its root", "can be written; set readonlyRootFilesystem")
    yield from judge(task, capabilities, _none, f"{of} capabilities", "are more than none; drop ALL and add none")
    yield from judge(task, log, lambda driver: driver == "awslogs", f"{of} its log", "is none; set awslogs")
    if at(one, "essential") is not False:
        wrong = "is root, or not said; set the image's own"
        yield from judge(task, at(one, "user"), _not_root, f"{of} its user", wrong)


def _none(capabilities: Any) -> bool:
    return "ALL" in listed(at(capabilities, "drop")) and not at(capabilities, "add")


def _not_root(user: Any) -> bool:
    return isinstance(user, str) and user.partition(":")[0] not in ("", "0", "root")


RULE = Rule(
    name="aws-tasks-closed",
    sentence="No container of a task has a privilege, a root that it can write, or no log; none that stays runs as root.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "who breaks into the server finds little"),
        Control(Framework.SOC_2, "CC6.8", "no program can be laid down beside it"),
        Control(Framework.PCI_DSS, "2.2.6", "parameters are set against misuse"),
        Control(Framework.PCI_DSS, "7.2.5", "application accounts have the least that they need"),
    ),
    limitation="What is in the image: it is scanned where it is built.",
    applies=_applies,
    across=_look,
)
