"""No secret is due later than the Secret Management Guide says: 90 days for passwords, 6 months for keys."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from policies.matchers import at, each, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

LONGEST = {"mqtt-user": 90, "broker-admin": 90, "agent-key": 183, "ca": 3650}
"""Days: the guide's 90 and 6 months; ten years for the stack's own CA, which certifies for days."""
A_YEAR = 366
"""After it an operator is asked for what only he can renew, and a certificate for longer is looked at."""
GRACE = 604_800
"""Seconds, a week: for as long two credentials of one client are good."""


def _within(most: int, given: Any) -> bool:
    return isinstance(given, int) and 0 < given <= most


def _look(plan: Plan) -> Iterator[Finding]:
    for secret in each(at(plan.outputs, "secretops", "secrets")):
        most = next((days for kind, days in LONGEST.items() if kind == at(secret, "kind")), A_YEAR)
        yield from judge(
            plan,
            at(secret, "cadence_days"),
            partial(_within, most),
            f"the cadence of {at(secret, 'name')}",
            f"is not from 1 to {most} days: the guide's is the longest; shorten it in the section rotation or secrets",
        )
    yield from judge(
        plan,
        at(plan.outputs, "secretops", "grace_seconds"),
        lambda seconds: seconds == 0 or _within(GRACE, seconds),
        "the grace time",
        "is longer than a week: an old credential is of no use after that; shorten rotation.grace_seconds",
    )


RULE = Rule(
    name="stack-rotates-in-time",
    sentence="Each secret is renewed within 90 days, an API key within 6 months, and its old value is let go in a week.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "credentials are renewed on a schedule"),
        Control(Framework.PCI_DSS, "8.6.3", "the passwords of applications change on a schedule"),
        Control(Framework.HIPAA, "164.312(d)", "a credential that leaked is nobody's for long"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality is renewed, and does not rest on one value"),
    ),
    limitation="That rotations took place: secretops status and the alarms show that.",
    applies=lambda plan: "secretops" in plan.outputs,
    across=_look,
)
