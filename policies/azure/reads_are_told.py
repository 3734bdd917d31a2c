"""A read by somebody who is not declared, one that was denied, and a secret that was deleted, are told."""

from __future__ import annotations

from collections.abc import Iterator

from policies.azure.alerts import told_of_query
from policies.matchers import require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:azure:SecretStore"
WATCHED = {
    "reads that nobody declared": ('"SecretGet"', "Status == 200", "!in ("),
    "reads that were denied": ('"SecretGet"', "Status == 403"),
    "secrets that were deleted": ('"SecretDelete"', '"SecretPurge"'),
}
"""What -> words of a query that finds it."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        for what, words in WATCHED.items():
            wrong = "add a scheduled query of the trail with an action group"
            yield from require(store, told_of_query(plan, *words), f"alert on {what}", wrong)


RULE = Rule(
    name="azure-reads-are-told",
    sentence="Somebody is told of a read by who is not declared to, of one that was denied, and of a secret deleted.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "anomalies are looked for"),
        Control(Framework.PCI_DSS, "10.2.1.4", "invalid attempts are recorded"),
        Control(Framework.PCI_DSS, "10.4.1.1", "records are reviewed by a mechanism"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.GDPR, "32(1)(d)", "whether access is as declared is looked at again and again"),
    ),
    limitation="That somebody hears it: an action group without alert_emails tells nobody until one is added.",
    applies=_applies,
    across=_look,
)
