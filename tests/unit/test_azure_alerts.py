"""What the alert on changes of access listens to, written out, each by its name in Azure's own lists."""

from __future__ import annotations

import json
from pathlib import Path

from tests.unit.azure_stack import production

BECOMES_A_READER = {
    *("Microsoft.Authorization/roleAssignments/write", "Microsoft.Authorization/roleAssignments/delete"),
    *("Microsoft.KeyVault/vaults/write", "Microsoft.KeyVault/vaults/delete", "Microsoft.KeyVault/vaults/secrets/write"),
    # runs as the rotator, or as the server
    *("Microsoft.App/jobs/write", "Microsoft.App/jobs/start/action", "Microsoft.App/containerApps/write"),
    # has a shell in a container
    *("Microsoft.App/jobs/getAuthToken/action", "Microsoft.App/containerApps/getAuthToken/action"),
    "Microsoft.App/managedEnvironments/getAuthToken/action",
    # gives an identity to something else, or lets another issuer vouch for it
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
}
LEAVES_THE_TRAIL = {
    *("Microsoft.Insights/diagnosticSettings/write", "Microsoft.Insights/diagnosticSettings/delete"),
    "Microsoft.App/managedEnvironments/write",
    *("Microsoft.OperationalInsights/workspaces/write", "Microsoft.OperationalInsights/workspaces/tables/write"),
    *("Microsoft.OperationalInsights/workspaces/delete", "Microsoft.OperationalInsights/workspaces/purge/action"),
    "Microsoft.OperationalInsights/workspaces/tables/deleteData/action",
    *("Microsoft.Insights/scheduledQueryRules/write", "Microsoft.Insights/scheduledQueryRules/delete"),
    *("Microsoft.Insights/activityLogAlerts/write", "Microsoft.Insights/activityLogAlerts/delete"),
    "Microsoft.Insights/scheduledQueryRules/disable/action",  # written by a query that Azure gives up
    *("Microsoft.Insights/actionGroups/write", "Microsoft.Insights/actionGroups/delete"),
    "Microsoft.AlertsManagement/actionRules/write",
}


def test_the_alert_rings_for_each_way_to_read_or_to_leave_no_trail() -> None:
    conditions = production().resources["alert-access-change"].inputs["condition"]["allOf"]
    (any_of,) = [one["anyOf"] for one in conditions if "anyOf" in one]

    assert {one["field"] for one in any_of} == {"operationName"}
    assert sorted(one["equals"] for one in any_of) == sorted(BECOMES_A_READER | LEAVES_THE_TRAIL)


def test_every_operation_is_one_that_azure_lists() -> None:
    """An alert that listens to a name of ours alone never rings, and nobody is told so."""
    published = json.loads(Path(__file__).with_name("azure_operations.json").read_text())
    lists = [published["elsewhere"], *(page["operations"] for page in published["pages"])]
    known = {one.lower() for names in lists for one in names}

    assert {one for one in BECOMES_A_READER | LEAVES_THE_TRAIL if one.lower() not in known} == set()
