"""Whatever makes somebody a reader, or keeps the trail from telling, is told."""

from __future__ import annotations

from collections.abc import Iterator

from policies.azure.alerts import told_of_operation
from policies.plan import UNKNOWN, Finding, Plan
from policies.rule import Control, Framework, Rule

STORE = "coreflux-mcp-secrets:azure:SecretStore"
OPERATIONS = (
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.KeyVault/vaults/write",
    "Microsoft.KeyVault/vaults/delete",
    "Microsoft.KeyVault/vaults/secrets/write",
    "Microsoft.App/jobs/write",
    "Microsoft.App/containerApps/write",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
    "Microsoft.Insights/diagnosticSettings/write",
    "Microsoft.Insights/diagnosticSettings/delete",
    "Microsoft.OperationalInsights/workspaces/delete",
    "Microsoft.OperationalInsights/workspaces/purge/action",
    "Microsoft.Insights/scheduledQueryRules/write",
    "Microsoft.Insights/scheduledQueryRules/delete",
    "Microsoft.Insights/activityLogAlerts/delete",
    "Microsoft.Insights/actionGroups/delete",
)
"""Of Azure's activity log: a role, who becomes an identity that reads, and what the trail hangs on."""


def _applies(plan: Plan) -> bool:
    return any(plan.of_type(STORE))


def _look(plan: Plan) -> Iterator[Finding]:
    for store in plan.of_type(STORE):
        told = {operation: told_of_operation(plan, operation) for operation in OPERATIONS}
        if unheard := [operation for operation, found in told.items() if found == []]:
            wrong = f"nobody is told of {', '.join(unheard)}"
            yield Finding(store.urn, f"{wrong}; add it to an alert on the activity log that has an action group")
        elif UNKNOWN in told.values():
            yield Finding(store.urn, "which operations are told is known after pulumi up", unknown=True)


RULE = Rule(
    name="azure-tampering-is-told",
    sentence="Somebody is told when a role, the vault, an identity, the trail or an alert is changed or taken away.",
    controls=(
        Control(Framework.SOC_2, "CC7.1", "a change of the configuration that weakens it is noticed"),
        Control(Framework.SOC_2, "CC7.2", "what is malicious is looked for"),
        Control(Framework.PCI_DSS, "10.2.1.6", "that records were stopped is recorded, and told"),
        Control(Framework.PCI_DSS, "10.3.4", "a change of what is recorded makes an alert"),
        Control(Framework.PCI_DSS, "10.7.2", "failures of a control are detected and told"),
        Control(Framework.HIPAA, "164.312(b)", "activity is examined"),
        Control(Framework.HIPAA, "164.312(c)(1)", "no improper alteration or destruction unseen"),
    ),
    limitation="What is done above the stack's resource group, and that Azure logs each of these: no account proved it.",
    applies=_applies,
    across=_look,
)
