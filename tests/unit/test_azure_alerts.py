"""What the alert on changes of access listens to, written out: a constant that is emptied is found here."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.azure_stack import on_azure
from tests.unit.harness import Deployed

pytestmark = pytest.mark.filterwarnings("ignore:.*has been deprecated:DeprecationWarning")
"""The SDK warns of what nobody here uses."""

BECOMES_A_READER = {
    "is given a role": ["Microsoft.Authorization/roleAssignments/write"],
    "takes one away": ["Microsoft.Authorization/roleAssignments/delete"],
    "changes how the vault lets in": ["Microsoft.KeyVault/vaults/write"],
    "deletes it": ["Microsoft.KeyVault/vaults/delete"],
    "puts a value past it": ["Microsoft.KeyVault/vaults/secrets/write"],
    "runs as the rotator": ["Microsoft.App/jobs/write", "Microsoft.App/jobs/start/action"],
    "runs as the server": ["Microsoft.App/containerApps/write"],
    "has a shell in a container": [
        "Microsoft.App/jobs/getAuthToken/action",
        "Microsoft.App/containerApps/getAuthToken/action",
        "Microsoft.App/managedEnvironments/getAuthToken/action",
    ],
    "gives an identity to something else": ["Microsoft.ManagedIdentity/userAssignedIdentities/assign/action"],
    "lets another issuer vouch for it": [
        "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write"
    ],
}
LEAVES_THE_TRAIL = {
    "sends the log elsewhere, or nowhere": [
        "Microsoft.Insights/diagnosticSettings/write",
        "Microsoft.Insights/diagnosticSettings/delete",
        "Microsoft.App/managedEnvironments/write",
    ],
    "shortens what is kept": [
        "Microsoft.OperationalInsights/workspaces/write",
        "Microsoft.OperationalInsights/workspaces/tables/write",
    ],
    "takes it away, or rows of it": [
        "Microsoft.OperationalInsights/workspaces/delete",
        "Microsoft.OperationalInsights/workspaces/purge/action",
        "Microsoft.OperationalInsights/workspaces/tables/deleteData/action",
    ],
    "changes what is looked for": [
        "Microsoft.Insights/scheduledQueryRules/write",
        "Microsoft.Insights/scheduledQueryRules/delete",
        "Microsoft.Insights/activityLogAlerts/write",
        "Microsoft.Insights/activityLogAlerts/delete",
    ],
    "writes a query that Azure gives up": ["Microsoft.Insights/scheduledQueryRules/disable/action"],
    "changes who is told": [
        "Microsoft.Insights/actionGroups/write",
        "Microsoft.Insights/actionGroups/delete",
        "Microsoft.AlertsManagement/actionRules/write",
    ],
}


@pytest.fixture(scope="module")
def listened_to() -> list[str]:
    return operations(on_azure())


def operations(deployed: Deployed) -> list[str]:
    """Which the alert is told of."""
    conditions = deployed.resources["alert-access-change"].inputs["condition"]["allOf"]
    (any_of,) = [one["anyOf"] for one in conditions if "anyOf" in one]
    assert {one["field"] for one in any_of} == {"operationName"}
    return [one["equals"] for one in any_of]


@pytest.mark.parametrize("does", [*BECOMES_A_READER, *LEAVES_THE_TRAIL])
def test_an_alert_rings_when_somebody(listened_to: list[str], does: str) -> None:
    assert set({**BECOMES_A_READER, **LEAVES_THE_TRAIL}[does]) <= set(listened_to)


def test_the_alert_rings_for_nothing_else_and_names_nothing_twice(listened_to: list[str]) -> None:
    written_out = [one for group in (BECOMES_A_READER, LEAVES_THE_TRAIL) for does in group.values() for one in does]

    assert sorted(listened_to) == sorted(written_out)


def test_every_operation_is_one_that_azure_lists(listened_to: list[str]) -> None:
    """An alert that listens to a name of ours alone never rings, and nobody is told so."""
    published = json.loads(Path(__file__).with_name("azure_operations.json").read_text())
    lists = [page["operations"] for page in published["pages"]]
    known = {one.lower() for one in [*published["elsewhere"], *(one for names in lists for one in names)]}

    assert {one for one in listened_to if one.lower() not in known} == set()
