"""The token that a pod shows Vault is good for Vault alone: with another's audience Vault could go on with it."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Finding, Plan
from policies.rule import Control, Enforcement, Framework, Rule
from policies.vault.access import KUBERNETES, is_an_address


def _look(plan: Plan) -> Iterator[Finding]:
    for role in plan.of_type(KUBERNETES):
        yield from judge(
            role,
            at(role.properties, "audience"),
            lambda audience: bool(audience) and not is_an_address(audience),
            "whom its tokens are for",
            "is the API server: whoever gets one from Vault could call that; name an audience, which takes a method "
            "with a reviewer's token",
        )


RULE = Rule(
    name="vault-pod-tokens-are-for-vault",
    sentence="The token of a service account that Vault is shown has an audience of its own.",
    controls=(
        Control(Framework.SOC_2, "CC6.1", "a credential is good for one use"),
        Control(Framework.PCI_DSS, "7.2.5", "what a system account shows gives no more than it has to"),
        Control(Framework.HIPAA, "164.312(d)", "a token proves who somebody is to one other alone"),
        Control(Framework.GDPR, "32(1)(b)", "a broken Vault opens no cluster"),
    ),
    limitation="That the cluster's method checks it: whoever runs Vault has configured that one.",
    applies=lambda plan: any(plan.of_type(KUBERNETES)),
    across=_look,
    enforcement=Enforcement.ADVISORY,
)
