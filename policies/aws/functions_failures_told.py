"""What a function could not do is kept as a dead letter, and somebody is told of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.aws.alarms import told_of_queue
from policies.matchers import at, judge, require
from policies.plan import Finding, Plan, Resource
from policies.rule import Control, Framework, Rule

FUNCTION = "aws:lambda/function:Function"
LETTERS = {
    FUNCTION: ("deadLetterConfig", "targetArn"),
    "aws:scheduler/schedule:Schedule": ("target", "deadLetterConfig", "arn"),
}
"""Type -> where it says which queue has what failed."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(FUNCTION))


def _queue(arn: Any) -> bool:
    return isinstance(arn, str) and ":sqs:" in arn


def _look(plan: Plan) -> Iterator[Finding]:
    for one in plan.of_type(*LETTERS):
        arn = at(one.properties, *LETTERS[one.type])
        wrong = "is none: what it could not do is lost; give it a queue"
        yield from judge(one, arn, _queue, "its dead-letter queue", wrong)
        if _queue(arn):
            yield from _told(plan, one, arn.rpartition(":")[2])


def _told(plan: Plan, of: Resource, queue: str) -> Iterator[Finding]:
    yield from require(of, told_of_queue(plan, queue), "alarm", "nobody is told of its dead letters; add one")


RULE = Rule(
    name="aws-functions-failures-told",
    sentence="Every function, and what calls it each hour, has a dead-letter queue, and an alarm tells of what is in it.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "what fails is monitored"),
        Control(Framework.PCI_DSS, "10.7.2", "failures of a control are detected and told"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.GDPR, "32(1)(d)", "whether a measure works is looked at again and again"),
    ),
    limitation="That somebody hears it: who subscribes to the alerts' topic is for the stack file or the operator.",
    applies=_applies,
    across=_look,
)
