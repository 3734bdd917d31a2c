"""The provider works in the one subscription that the stack file names, whoever is logged in."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

PROVIDER = "pulumi:providers:azure-native"


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(PROVIDER))


def _look(plan: Plan) -> Iterator[Finding]:
    for provider in plan.of_type(PROVIDER):
        for what in ("subscriptionId", "tenantId"):
            wrong = "is whatever az login has: another environment would be changed; set it"
            yield from judge(provider, at(provider.properties, what), bool, what, wrong)
    for one in plan.resources:
        if one.type.startswith("azure-native:") and not one.provider:
            yield Finding(one.urn, "it is made by whoever is logged in; give it the stack's provider")


RULE = Rule(
    name="azure-subscription-named",
    sentence="Everything is made in the one subscription and tenant that the stack file names.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "environments are kept apart by subscription"),
        Control(Framework.SOC_2, "CC8.1", "a change goes where it was approved for"),
        Control(Framework.PCI_DSS, "6.5.3", "what is not production is apart from it, and that is enforced"),
        Control(Framework.GDPR, "32(1)(b)", "confidentiality and integrity"),
    ),
    limitation="That another environment's file names another subscription: compare the two files.",
    applies=_applies,
    across=_look,
)
