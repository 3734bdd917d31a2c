"""Reads are on record somewhere, and what is not on record is declared."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

GAP = "trail of every read"


def _look(plan: Plan) -> Iterator[Finding]:
    yield from judge(
        plan,
        at(plan.outputs, "trail", "records"),
        lambda place: isinstance(place, str) and bool(place),
        "where reads are recorded",
        "is said nowhere: each stack has a trail; see the output trail",
    )
    gap = at(plan.outputs, "trail", "gap")
    if gap != "":
        yield from judge(
            plan,
            [gap, at(plan.outputs, "gaps", GAP)],
            lambda both: both[0] == both[1],
            "the gap of the trail",
            "is not declared as such: what a trail does not show is said in the output gaps, too",
        )


RULE = Rule(
    name="stack-has-a-trail",
    sentence="The stack says where reads are recorded, and declares what is not recorded.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "reads are where anomalies can be looked for"),
        Control(Framework.PCI_DSS, "10.2.1", "audit logs are on, or what has none is known"),
        Control(Framework.HIPAA, "164.312(b)", "activity is recorded and can be examined"),
        Control(Framework.GDPR, "32(1)(d)", "who read what can be tested"),
    ),
    limitation="That the log is complete or kept: the rules of each platform judge its retention and protection.",
    applies=lambda plan: "trail" in plan.outputs,
    across=_look,
)
