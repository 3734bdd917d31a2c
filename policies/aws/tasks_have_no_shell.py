"""Nobody opens a shell in a task: it would read the values that the task has, and no trail would say so."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

SERVICE = "aws:ecs/service:Service"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(SERVICE))


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "lets somebody read a task's values, and no trail says so; leave it off"
    for service in plan.of_type(SERVICE):
        on = at(service.properties, "enableExecuteCommand")
        yield from judge(service, on, lambda on: not on, "enable_execute_command", wrong)


RULE = Rule(
    name="aws-tasks-have-no-shell",
    sentence="ECS Exec is off: nobody opens a shell in a task.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a value is read by way of its secret, where it is recorded"),
        Control(Framework.PCI_DSS, "8.6.1", "an application account is not for persons"),
        Control(Framework.PCI_DSS, "10.2.1.1", "no access of a person goes unrecorded"),
        Control(Framework.HIPAA, "164.312(b)", "no activity goes unrecorded"),
    ),
    limitation="That nobody runs a task by hand: aws-tampering-is-told watches roles, and an alarm tells of their use.",
    applies=_applies,
    across=_look,
)
