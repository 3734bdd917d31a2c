"""In production a deleted secret, and the vault itself, can be had back for 90 days, and nobody can shorten that."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge
from policies.plan import Environment, Finding, Plan
from policies.rule import Control, Framework, Rule

VAULT = "azure-native:keyvault:Vault"
DAYS = 90
"""Key Vault's longest."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(VAULT))


def _long(days: Any) -> bool:
    """Where nothing is said Key Vault takes its longest."""
    return days is None or (isinstance(days, int) and days >= DAYS)


def _look(plan: Plan) -> Iterator[Finding]:
    for vault in plan.of_type(VAULT):
        told = at(vault.properties, "properties")
        wrong = "is off: what is deleted is gone; leave it on"
        soft = at(told, "enableSoftDelete")
        yield from judge(vault, soft, lambda on: on in (None, True), "soft delete", wrong)
        if plan.environment is Environment.PRODUCTION:
            wrong = "is off: who may delete may delete for good; set enable_purge_protection"
            guarded = at(told, "enablePurgeProtection")
            yield from judge(vault, guarded, lambda on: on is True, "purge protection", wrong)
            days = at(told, "softDeleteRetentionInDays")
            yield from judge(vault, days, _long, "its recovery", f"is below {DAYS} days; leave it to its default")


RULE = Rule(
    name="azure-vault-recovers",
    sentence="What is deleted of the vault can be had back; in production for 90 days, and nobody purges it sooner.",
    controls=(
        Control(Framework.SOC_2, "A1.2", "what is deleted by mistake is recovered"),
        Control(Framework.PCI_DSS, "3.7.5", "what is retired is retired by a process that can be stopped"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no improper destruction"),
        Control(Framework.GDPR, "32(1)(c)", "what is lost by an accident is there again in time"),
    ),
    limitation="That somebody notices within that time: azure-tampering-is-told shows that.",
    applies=_applies,
    across=_look,
)
