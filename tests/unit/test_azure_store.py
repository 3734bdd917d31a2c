"""The Azure store under mocks: vault, names, networks, trail, alerts, and entries in the manifest."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from components.azure.names import Names
from tests.unit import azure_stack
from tests.unit.azure_ids import SUBSCRIPTION, TENANT, group_id, object_id
from tests.unit.azure_stack import OFFICE, OPERATOR, SUBNET, inputs, manifest_of, on_azure, store_of
from tests.unit.harness import Deployed


@pytest.fixture(scope="module")
def prod() -> Deployed:
    return azure_stack.production()


@pytest.fixture(scope="module")
def trial() -> Deployed:
    return azure_stack.trial()


def test_deleted_production_vault_is_kept_ninety_days_unpurgeable(prod: Deployed, trial: Deployed) -> None:
    retained, removable = (inputs(deployed, "vault")["properties"] for deployed in (prod, trial))
    assert retained["tenantId"] == TENANT
    assert (retained["softDeleteRetentionInDays"], retained["enablePurgeProtection"]) == (90, True)
    assert removable["softDeleteRetentionInDays"] == 7
    assert "enablePurgeProtection" not in removable, "Azure takes no false"


def test_values_and_records_are_protected_in_production_alone(prod: Deployed, trial: Deployed) -> None:
    assert {each.name for each in prod.resources.values() if each.protected} == {"vault", "vault-audit", "workspace"}
    assert [each.name for each in trial.resources.values() if each.protected] == []


def test_manifest_locates_secrets_pending_versions_and_lease(prod: Deployed) -> None:
    manifest = manifest_of(prod)
    store = store_of(manifest)
    vault, account = (inputs(prod, "vault")["vaultName"], inputs(prod, "lease-account")["accountName"])
    assert store.vault == f"https://{vault}.vault.azure.net"
    assert store.secrets == {secret.name: secret.name for secret in manifest.secrets}
    assert store.pending == {secret.name: f"{secret.name}-pending" for secret in manifest.secrets}
    assert store.fields == {secret.name: secret.fields for secret in manifest.secrets}
    assert (store.due_days["mqtt"], store.due_days["agent-key"]) == (91, 180), "a late tick is no alarm for a day"
    container_name = inputs(prod, "lease-container")["containerName"]
    assert store.lease == f"https://{account}.blob.core.windows.net/{container_name}/rotator"


def test_manifest_has_the_readers_and_the_trail_by_azure_ids(prod: Deployed) -> None:
    store = store_of(manifest_of(prod))
    rotator, server = object_id("coreflux-prod-rotator"), object_id("coreflux-prod-server")
    assert store.readers.keys() == {*store.secrets.values(), *store.pending.values()}
    assert store.readers["mqtt"] == (server, rotator, OPERATOR)
    assert store.readers["mqtt-pending"] == (rotator, OPERATOR)
    assert store.readers["broker-admin"] == (rotator, OPERATOR)
    assert store.workspace == object_id(inputs(prod, "workspace")["workspaceName"])
    assert store.tenant == TENANT


LONG = "x" * 100
STACKS = ["prod", "a", "Plant_7.eu", LONG, LONG[:-1] + "y", "plant-" * 16, "---", "prod-azure-west", "prod-azure-east"]


def names(stack: str = "prod", **more: Any) -> Names:
    return Names(stack=stack, subscription=SUBSCRIPTION, **more)


@pytest.mark.parametrize("stack", STACKS)
def test_names_are_those_that_azure_takes_and_no_other_stacks(stack: str) -> None:
    of = names(stack)
    assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{1,22}[a-z0-9]", of.vault)
    assert re.fullmatch(r"[a-z0-9]{3,24}", of.storage)
    assert re.fullmatch(r"[\w().-]{1,89}[\w()-]", of.group)
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", of.workspace)
    for what in ("server", "rotator"):  # of apps and jobs
        assert re.fullmatch(r"[a-z](?!.*--)[a-z0-9-]{0,30}[a-z0-9]", of.plain(what))
    for other in (names(each) for each in STACKS if each != stack):
        assert not {of.vault, of.storage, of.plain("server")} & {other.vault, other.storage, other.plain("server")}


def test_recreated_stack_gets_a_new_name_while_its_vault_is_deleted() -> None:
    first, second = names(), names(generation=2)
    for name in ("vault", "storage", "workspace"):
        assert getattr(first, name) != getattr(second, name), "Azure would give the old one's records back"
    assert first.job == second.job, "a job is gone at once"


@pytest.fixture(scope="module")
def private() -> Deployed:
    return on_azure(f', subnet: "{SUBNET}", network: {{private_endpoint: {azure_stack.ENDPOINT}}}')


@pytest.fixture(scope="module")
def everything() -> Deployed:
    return azure_stack.with_every_option()


def test_network_rules_let_in_the_stacks_own_subnet_and_who_is_named(everything: Deployed) -> None:
    properties = inputs(everything, "vault")["properties"]
    rules, lease = properties["networkAcls"], inputs(everything, "lease-account")["networkRuleSet"]
    assert (properties["publicNetworkAccess"], rules["defaultAction"], rules["bypass"]) == ("Enabled", "Deny", "None")
    assert rules["ipRules"] == [{"value": "203.0.113.7"}]
    assert rules["virtualNetworkRules"] == [{"id": SUBNET}, {"id": OFFICE}]
    assert (lease["defaultAction"], lease["bypass"]) == ("Deny", "None")
    assert [one["virtualNetworkResourceId"] for one in lease["virtualNetworkRules"]] == [SUBNET, OFFICE]
    assert inputs(everything, "environment")["vnetConfiguration"] == {
        "infrastructureSubnetId": SUBNET,
        "internal": True,
    }


def test_vault_and_lease_have_addresses_and_names_in_the_network(private: Deployed) -> None:
    account = inputs(private, "lease-account")["accountName"]
    for what, resource in {"vault": inputs(private, "vault")["vaultName"], "blob": account}.items():
        endpoint, name = inputs(private, f"{what}-endpoint"), inputs(private, f"{what}-name")
        assert endpoint["subnet"]["id"] == azure_stack.ENDPOINTS
        (connection,) = endpoint["privateLinkServiceConnections"]
        assert connection["groupIds"] == [what] and connection["privateLinkServiceId"].endswith(f"/{resource}")
        assert name["privateEndpointName"] == endpoint["privateEndpointName"]
        assert name["privateDnsZoneConfigs"] == [{"name": what, "privateDnsZoneId": azure_stack.ZONES[what]}]


def test_where_private_endpoints_are_the_one_way_in_no_other_is_open(private: Deployed) -> None:
    properties, lease = inputs(private, "vault")["properties"], inputs(private, "lease-account")["networkRuleSet"]
    assert properties["publicNetworkAccess"] == "Disabled"
    assert properties["networkAcls"]["virtualNetworkRules"] == []
    assert (lease["ipRules"], lease["virtualNetworkRules"]) == ([], [])


RULE = "azure-native:monitor:ScheduledQueryRule"


def test_each_read_is_logged_to_the_workspace_for_its_retention(prod: Deployed, everything: Deployed) -> None:
    audit = inputs(prod, "vault-audit")
    assert audit["logs"] == [{"categoryGroup": "audit", "enabled": True}]
    assert audit["logAnalyticsDestinationType"] == "Dedicated"
    assert audit["resourceUri"].endswith(inputs(prod, "vault")["vaultName"])
    assert audit["workspaceId"].endswith("/workspaces/" + inputs(prod, "workspace")["workspaceName"])
    assert inputs(prod, "workspace")["retentionInDays"] == 365


def test_an_organizations_workspace_takes_the_trail_and_gets_no_role() -> None:
    workspace = (
        group_id("logs").replace(SUBSCRIPTION, TENANT) + "/providers/Microsoft.OperationalInsights/workspaces/all"
    )
    made = on_azure(f', workspace: {{id: "{workspace}", customer_id: "{TENANT}"}}')
    assert "workspace" not in made.resources
    assert {inputs(made, name)["workspaceId"] for name in ("vault-audit", "environment-logs")} == {workspace}
    assert {tuple(one.inputs["scopes"]) for one in made.of_type(RULE)} == {(workspace,)}
    assert store_of(manifest_of(made)).workspace == TENANT
    assert [one for one in azure_stack.assignments(made) if "OperationalInsights" in one["scope"]] == []
    assert azure_stack.wrong(made) == []


def test_incidents_are_queried_and_alerted(prod: Deployed) -> None:
    rules = {one.name.removeprefix("alert-"): one.inputs for one in prod.of_type(RULE)}
    assert rules.keys() == {
        *("undeclared-read", "denied-read", "deletion", "near-expiry", "expired"),
        *("tick-failed", "tick-missing"),
    }
    (group,) = {tuple(rule["actions"]["actionGroups"]) for rule in rules.values()}
    assert group[0].endswith("/actionGroups/coreflux-prod-receivers")
    for what, rule in rules.items():
        (condition,) = rule["criteria"]["allOf"]
        assert rule["scopes"] == [inputs(prod, "vault-audit")["workspaceId"]]
        security = what in ("undeclared-read", "denied-read", "deletion")
        assert rule["evaluationFrequency"] == ("PT5M" if security else "PT15M")
        found = ("LessThan", 1) if what == "tick-missing" else ("GreaterThan", 0)
        assert (condition["operator"], condition["threshold"]) == found


def test_undeclared_readers_are_all_but_those_of_the_manifest(prod: Deployed) -> None:
    (condition,) = inputs(prod, "alert-undeclared-read")["criteria"]["allOf"]
    declared = {
        f'"{secret}|{who}"' for secret, readers in store_of(manifest_of(prod)).readers.items() for who in readers
    }
    listed = re.search(r"!in \((.*)\)", condition["query"])
    assert listed
    assert set(listed[1].split(", ")) == declared
    assert [one["name"] for one in condition["dimensions"]] == ["Who", "Secret"]


def test_changes_of_roles_vault_or_trail_are_alerted(prod: Deployed, everything: Deployed) -> None:
    alert = inputs(prod, "alert-access-change")
    *_, operations = alert["condition"]["allOf"]
    published = json.loads(Path(__file__).with_name("azure_tables.json").read_text())["access_changes"]
    listed = [one.lower() for names in published.values() if isinstance(names, list) for one in names]
    assert alert["scopes"] == [group_id("coreflux-mcp-prod")]
    assert inputs(everything, "alert-access-change")["scopes"] == [group_id("plant")]
    assert {one["field"] for one in operations["anyOf"]} == {"operationName"}
    assert sorted(one["equals"].lower() for one in operations["anyOf"]) == sorted(listed), "each by Azure's own name"
    (action_group,) = inputs(prod, "alert-deletion")["actions"]["actionGroups"]
    assert alert["actions"]["actionGroups"] == [{"actionGroupId": action_group}]
