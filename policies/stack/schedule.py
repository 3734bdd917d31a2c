"""Something rotates what is due without being asked, or the stack says what a person has to turn on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

GAP = "rotation schedule"


def _kept(both: Any) -> bool:
    schedule, gaps = both
    if not isinstance(schedule, dict) or schedule.get("every") != "hour":
        return False
    return not schedule.get("turn_on") or bool(isinstance(gaps, dict) and gaps.get(GAP))


def _look(plan: Plan) -> Iterator[Finding]:
    yield from judge(
        plan,
        [plan.outputs.get("schedule"), plan.outputs.get("gaps")],
        _kept,
        "the schedule",
        "is not hourly, or waits for a person without saying so: what is due is looked for each hour; see the outputs"
        " schedule and gaps",
    )


RULE = Rule(
    name="stack-rotates-by-schedule",
    sentence="What is due is looked for each hour; where a person has to turn that on, the stack says so.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "renewal does not wait for somebody to remember it"),
        Control(Framework.PCI_DSS, "8.6.3", "passwords of applications change on a schedule"),
        Control(Framework.GDPR, "32(1)(d)", "what is due is looked at regularly"),
    ),
    limitation="That the timer which a person turns on is on: secretops doctor looks.",
    applies=lambda plan: "schedule" in plan.outputs,
    across=_look,
)
