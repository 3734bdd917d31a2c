"""The vault's audit log goes to the workspace of the trail: who read which secret, and who was denied."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from policies.matchers import at, judge, listed, related, require
from policies.plan import UNKNOWN, Finding, Plan, Resource, Unknown
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:azure:SecretStore"
VAULT, SETTING = "azure-native:keyvault:Vault", "azure-native:monitor:DiagnosticSetting"
AUDITS = ("audit", "allLogs", "AuditEvent")


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE, VAULT))


def _of(plan: Plan, name: Any) -> list[Resource] | Unknown:
    """The settings of the vault of that name."""
    return (
        UNKNOWN
        if name is UNKNOWN
        else related(plan, SETTING, "resourceUri", ok=lambda uri: str(uri).endswith(f"/{name}"))
    )


def _audits(logs: Any) -> bool:
    return any(
        at(log, "enabled") is True and any(at(log, kind) in AUDITS for kind in ("categoryGroup", "category"))
        for log in listed(logs)
    )


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        yield from require(
            store, list(plan.of_type(VAULT)), "vault", "values are kept where no read is recorded; add it"
        )
    for vault in plan.of_type(VAULT):
        found = _of(plan, at(vault.properties, "vaultName"))
        yield from require(vault, found, "diagnostic setting", "nobody knows who reads; send its audit log somewhere")
        for setting in listed(found):
            told = setting.properties
            wrong = "leave out the audit log: nobody knows who reads; enable the group audit"
            yield from judge(setting, at(told, "logs"), _audits, "its logs", wrong)
            wrong = "is none: no alert hears of a read; name one"
            yield from judge(setting, at(told, "workspaceId"), bool, "its workspace", wrong)


RULE = Rule(
    name="azure-reads-recorded",
    sentence="The vault's audit log is on, and goes to a workspace.",
    controls=(
        Control(Framework.SOC_2, "CC7.2", "access is recorded"),
        Control(Framework.PCI_DSS, "10.2.1", "audit logs are on"),
        Control(Framework.PCI_DSS, "10.2.1.1", "each access of a user is recorded"),
        Control(Framework.PCI_DSS, "10.2.1.5", "each change of a credential is recorded"),
        Control(Framework.PCI_DSS, "10.2.2", "a record says who, what, when, from where and whether it was allowed"),
        Control(Framework.HIPAA, "164.312(b)", "a mechanism records activity"),
        Control(Framework.GDPR, "32(1)(d)", "who read what can be looked at"),
    ),
    limitation="That no record is lost: Azure says of its delivery that it is on best effort.",
    applies=_applies,
    across=_look,
)
