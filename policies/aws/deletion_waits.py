"""In production what was deleted by mistake can be had back for a month."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Framework, Rule

WINDOWS = (
    ("aws:kms/key:Key", "deletionWindowInDays"),
    ("aws:secretsmanager/secret:Secret", "recoveryWindowInDays"),
)
"""A type, and where it says how long. AWS' longest of both, and what it takes where nothing is said, is 30 days."""

LEAST_DAYS = 30


def _applies(plan: Plan) -> bool:
    return plan.environment is Environment.PRODUCTION and any(plan.of_type(*(kind for kind, _ in WINDOWS)))


def _long(days: Any) -> bool:
    return days is None or (isinstance(days, int) and days >= LEAST_DAYS)


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = f"is shorter than {LEAST_DAYS} days: in production a deletion waits as long; leave it to its default"
    for kind, window in WINDOWS:
        for one in plan.of_type(kind):
            yield from judge(one, at(one.properties, window), _long, "its deletion's wait", wrong)


RULE = Rule(
    name="aws-deletion-waits",
    sentence="In production a deleted secret or key can be had back for 30 days.",
    controls=(
        Control(Framework.SOC_2, "A1.2", "what is deleted by mistake is recovered"),
        Control(Framework.PCI_DSS, "3.7.5", "a key is retired by a process that can be stopped"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no improper destruction"),
        Control(Framework.GDPR, "32(1)(c)", "what is lost by an accident is there again in time"),
    ),
    limitation="That somebody notices within that time: aws-tampering-is-told shows that.",
    applies=_applies,
    across=_look,
)
