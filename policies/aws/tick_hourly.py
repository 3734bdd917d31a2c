"""The tick runs each hour: it retires old users, finishes what a rotation left, and tells what is overdue."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE, SCHEDULE = "coreflux-mcp-secrets:aws:SecretStore", "aws:scheduler/schedule:Schedule"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _hourly(expression: Any) -> bool:
    found = re.fullmatch(r"rate\((\d+) (minute|hour)s?\)", str(expression))
    return found is not None and int(found[1]) * (60 if found[2] == "hour" else 1) <= 60  # noqa: PLR2004  an hour


def _look(plan: Plan) -> Iterator[Finding]:
    schedules = list(plan.of_type(SCHEDULE))
    if not schedules:
        for store in plan.of_type(STORE):
            yield Finding(store.urn, "nothing calls the tick: rotations are not finished; add a schedule")
    for schedule in schedules:
        told = schedule.properties
        yield from judge(schedule, at(told, "scheduleExpression"), _hourly, "its rate", "is below hourly; set it so")
        on = at(told, "state")
        yield from judge(schedule, on, lambda state: state in (None, "ENABLED"), "its state", "is off; enable it")


RULE = Rule(
    name="aws-tick-hourly",
    sentence="The tick runs each hour.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "how secrets stand is looked at each hour"),
        Control(Framework.PCI_DSS, "8.6.3", "a password that was replaced ends to work in time"),
        Control(Framework.GDPR, "32(1)(d)", "whether a measure works is looked at again and again"),
    ),
    limitation="That a tick succeeds: aws-rotation-failures-told shows that somebody is told where it does not.",
    applies=_applies,
    across=_look,
)
