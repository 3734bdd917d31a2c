"""The provider works in the one account that the stack file names, whatever credentials it is run with."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

PROVIDER = "pulumi:providers:aws"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(PROVIDER))


def _one(accounts: Any) -> bool:
    """A provider's lists are JSON texts."""
    try:
        found = json.loads(accounts) if isinstance(accounts, str) else accounts
    except ValueError:
        return False
    return isinstance(found, list) and len(found) == 1


def _look(plan: Plan) -> Iterator[Finding]:
    wrong = "are not one: credentials of another environment would change it; set allowed_account_ids"
    for provider in plan.of_type(PROVIDER):
        yield from judge(provider, at(provider.properties, "allowedAccountIds"), _one, "its accounts", wrong)
    for one in plan.resources:
        if one.type.startswith("aws:") and not one.provider:
            yield Finding(one.urn, "it is made by whatever credentials are there; give it the stack's provider")


RULE = Rule(
    name="aws-account-named",
    sentence="Everything is made in the one account that the stack file names, by no other credentials.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "environments are kept apart by account"),
        Control(Framework.SOC_2, "CC8.1", "a change goes where it was approved for"),
        Control(Framework.PCI_DSS, "6.5.3", "what is not production is apart from it, and that is enforced"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality and integrity"),
    ),
    limitation="That another environment's file names another account: compare the two files.",
    applies=_applies,
    across=_look,
)
