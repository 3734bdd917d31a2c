"""A task's definition says where a value is, and has none: everybody who may describe it reads it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.aws.tasks_closed import TASK, containers, no_containers
from policies.containers import in_plain_sight
from policies.matchers import at, judge, listed
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(TASK))


def _of_a_secret(place: Any) -> bool:
    return isinstance(place, str) and re.match(r"arn:aws[a-z-]*:secretsmanager:", place) is not None


def _look(plan: Plan) -> Iterator[Finding]:
    for task in plan.of_type(TASK):
        found = containers(task)
        if found is None:
            yield no_containers(task)
        for one in found or ():
            yield from _judged(task, one, f"the container {at(one, 'name')}:")


def _judged(task: Resource, one: Any, of: str) -> Iterator[Finding]:
    for variable in listed(at(one, "environment")):
        name, text = at(variable, "name"), at(variable, "value")
        if in_plain_sight(name, text):
            yield Finding(task.urn, f"{of} {name} is a value in plain sight; inject it by secrets and valueFrom")
    for variable in listed(at(one, "secrets")):
        what = f"{of} {at(variable, 'name')}"
        yield from judge(task, at(variable, "valueFrom"), _of_a_secret, what, "is from no secret; name its ARN")
    if at(one, "environmentFiles"):
        yield Finding(task.urn, f"{of} its environmentFiles are values in a bucket; inject them by secrets")


RULE = Rule(
    name="aws-tasks-hold-no-value",
    sentence="No variable of a task is a credential's, but by the ARN of a secret.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are kept in one store"),
        Control(Framework.PCI_DSS, "8.6.2", "no password in a configuration"),
        Control(Framework.HIPAA, "164.312(a)(1)", "a value is read by whoever may read its secret"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality"),
    ),
    limitation="What a variable of another name holds: the leak gate of the tests looks for real values.",
    applies=_applies,
    across=_look,
)
