"""Values are encrypted where they lie, or the stack declares who has to see to that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

BY_ITSELF = frozenset({"aws", "azure", "vault"})
"""Stores that write no value in clear, whoever runs them."""
GAP = "encryption at rest"


def _kept(both: Any) -> bool:
    kind, gap = both
    return kind in BY_ITSELF or bool(gap)


def _look(plan: Plan) -> Iterator[Finding]:
    yield from judge(
        plan,
        [at(plan.outputs, "secretops", "store", "kind"), at(plan.outputs, "gaps", GAP)],
        _kept,
        "the store",
        "neither encrypts what it keeps nor says who does: see the output gaps",
    )


RULE = Rule(
    name="stack-is-encrypted-or-says-so",
    sentence="The store encrypts what it keeps, or the stack declares that whoever runs it has to.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "values at rest are encrypted, or known not to be"),
        Control(Framework.PCI_DSS, "8.3.2", "credentials are unreadable where they are stored"),
        Control(Framework.HIPAA, "164.312(a)(2)(iv)", "what opens the data is encrypted"),
        Control(Framework.GDPR, "32(1)(a)", "encryption is there, or its absence is a decision"),
    ),
    limitation="Where a gap is declared, that somebody closed it: secretops doctor looks as far as it can.",
    applies=lambda plan: "secretops" in plan.outputs,
    across=_look,
)
