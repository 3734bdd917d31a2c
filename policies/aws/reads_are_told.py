"""A read by somebody who is not declared, and one that was denied, is told to the alerts' topic."""

from __future__ import annotations

from collections.abc import Iterator

from policies.aws.alarms import told_of_event
from policies.matchers import require
from policies.plan import Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:aws:SecretStore"
READ = '"GetSecretValue"'
WATCHED = {
    "reads that nobody declared": (READ, "userIdentity.arn !="),
    "reads that were denied": (READ, '"AccessDenied'),
}


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        for what, words in WATCHED.items():
            found = told_of_event(plan, *words)
            yield from require(store, found, f"alarm on {what}", "add a filter over the trail's log and its alarm")


RULE = Rule(
    name="aws-reads-are-told",
    sentence="Somebody is told of a read by who is not declared to, and of one that was denied.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "anomalies are looked for"),
        Control(Framework.PCI_DSS, "10.2.1.4", "invalid attempts are recorded"),
        Control(Framework.PCI_DSS, "10.4.1.1", "records are reviewed by a mechanism"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.GDPR, "32(1)(d)", "whether access is as declared is looked at again and again"),
    ),
    limitation="That somebody hears it, or that the pattern matches: tests run it over records as AWS documents them.",
    applies=_applies,
    across=_look,
)
