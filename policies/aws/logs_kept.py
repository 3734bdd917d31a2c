"""Every log says for how long it is kept; in production from one rotation to the next."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Framework, Rule

LOG = "aws:cloudwatch/logGroup:LogGroup"
LEAST_DAYS = {Environment.PRODUCTION: 90}
"""Elsewhere whatever is said does: a log of an experiment is nobody's record."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(LOG))


def _look(plan: Plan) -> Iterator[Finding]:
    least = LEAST_DAYS.get(plan.environment, 1)

    def kept(days: Any) -> bool:
        """Nothing said, and 0, are for ever to AWS."""
        return isinstance(days, int) and days >= least

    wrong = f"is not said, or below {least} days; set retention_in_days, the trail's by store.retention_days"
    for log in plan.of_type(LOG):
        yield from judge(log, at(log.properties, "retentionInDays"), kept, "its retention", wrong)


RULE = Rule(
    name="aws-logs-kept",
    sentence="Every log says for how long it is kept, in production 90 days or more.",
    controls=(
        Control(Framework.SOC_2, "CC7.3", "what happened can be evaluated afterwards"),
        Control(Framework.PCI_DSS, "10.5.1", "three months are at hand"),
        Control(Framework.HIPAA, "164.312(b)", "activity that is recorded can be examined"),
    ),
    limitation="The year of the trail: aws-trail-kept-a-year shows that.",
    applies=_applies,
    across=_look,
)
