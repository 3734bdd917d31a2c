"""What the alert on changes of access listens to, written out: a constant that is emptied is found here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


@pytest.fixture(scope="module")
def listened_to() -> list[str]:
    conditions = production().resources["alert-access-change"].inputs["condition"]["allOf"]
    (any_of,) = [one["anyOf"] for one in conditions if "anyOf" in one]
    assert {one["field"] for one in any_of} == {"operationName"}
    return [one["equals"] for one in any_of]


def test_the_alert_rings_for_each_way_to_read_or_to_leave_no_trail(listened_to: list[str]) -> None:
    assert sorted(listened_to) == sorted(BECOMES_A_READER | LEAVES_THE_TRAIL)


def test_every_operation_is_one_that_azure_lists(listened_to: list[str]) -> None:
    """An alert that listens to a name of ours alone never rings, and nobody is told so."""
    published = json.loads(Path(__file__).with_name("azure_operations.json").read_text())
    lists = [page["operations"] for page in published["pages"]]
    known = {one.lower() for one in [*published["elsewhere"], *(one for names in lists for one in names)]}

    assert {one for one in listened_to if one.lower() not in known} == set()
