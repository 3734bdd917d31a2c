"""In production each request is recorded, by the stack's own device or by one that its trail gives the text of."""

from __future__ import annotations

from collections.abc import Iterator

from policies.matchers import at, judge
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Enforcement, Framework, Rule
from policies.vault.access import in_vault
from policies.vault.audit_hides_values import AUDIT


def _look(plan: Plan) -> Iterator[Finding]:
    if any(plan.of_type(AUDIT)):
        return
    yield from judge(
        plan,
        at(plan.outputs, "trail", "policy"),
        bool,
        "who read which secret",
        "is recorded by no device of the stack's: be sure that whoever runs Vault has one, or name audit_files",
    )


RULE = Rule(
    name="vault-production-is-recorded",
    sentence="A production stack enables an audit device of Vault, or gives the text of one to whoever runs it.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "requests are recorded, so that what is unusual is found"),
        Control(Framework.PCI_DSS, "10.2.1", "audit logs are on"),
        Control(Framework.PCI_DSS, "10.2.1.1", "each read of a secret is logged"),
        Control(Framework.HIPAA, "164.312(b)", "activity is recorded"),
        Control(Framework.GDPR, "32(1)(d)", "that access is as granted can be evaluated"),
    ),
    limitation="That whoever runs OpenBao has put the text into its configuration: secretops doctor looks.",
    applies=lambda plan: plan.environment is Environment.PRODUCTION and any(in_vault(plan)),
    across=_look,
    enforcement=Enforcement.ADVISORY,
)
