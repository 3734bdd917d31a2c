"""From where the Azure store is reached, and where its containers run. Under mocks."""

from __future__ import annotations

import pytest

from tests.unit.azure_stack import (
    ENDPOINT,
    ENDPOINTS,
    OFFICE,
    SUBNET,
    ZONES,
    inputs,
    on_azure,
    production,
    with_every_option,
)
from tests.unit.harness import Deployed


@pytest.fixture(scope="module", name="open")
def prod() -> Deployed:
    return production()


@pytest.fixture(scope="module")
def private() -> Deployed:
    """Whose vault and lease are reached by private endpoints alone."""
    return on_azure(f', subnet: "{SUBNET}", network: {{private_endpoint: {ENDPOINT}}}')


@pytest.fixture(scope="module")
def everything() -> Deployed:
    return with_every_option()


def test_network_rules_let_in_the_stacks_own_subnet_and_who_is_named(everything: Deployed) -> None:
    properties = inputs(everything, "vault")["properties"]
    rules, lease = properties["networkAcls"], inputs(everything, "lease-account")["networkRuleSet"]

    assert (properties["publicNetworkAccess"], rules["defaultAction"], rules["bypass"]) == ("Enabled", "Deny", "None")
    assert rules["ipRules"] == [{"value": "203.0.113.7"}]
    assert rules["virtualNetworkRules"] == [{"id": SUBNET}, {"id": OFFICE}]
    assert lease["defaultAction"] == "Deny"
    assert [one["virtualNetworkResourceId"] for one in lease["virtualNetworkRules"]] == [SUBNET, OFFICE]
    assert inputs(everything, "environment")["vnetConfiguration"] == {
        "infrastructureSubnetId": SUBNET,
        "internal": True,
    }


@pytest.mark.parametrize("network", ["everything", "private", "open"])
def test_event_grid_gets_into_the_queue_past_a_firewall(network: str, request: pytest.FixtureRequest) -> None:
    """Past one it does by the topic's own identity alone, and only where Azure's services are let in (Event Grid, Azure
    Queue Storage as an event handler)."""
    deployed: Deployed = request.getfixturevalue(network)
    rules = inputs(deployed, "lease-account")["networkRuleSet"]
    identity = inputs(deployed, "expiry-events")["deliveryWithResourceIdentity"]["identity"]

    assert identity == {"type": "SystemAssigned"} == inputs(deployed, "vault-events")["identity"]
    assert (rules["defaultAction"], rules["bypass"]) in (("Deny", "AzureServices"), ("Allow", "None"))


def test_vault_and_lease_have_addresses_and_names_in_the_network(private: Deployed) -> None:
    resources = {"vault": inputs(private, "vault")["vaultName"]}
    resources |= dict.fromkeys(["blob", "queue"], inputs(private, "lease-account")["accountName"])

    names = {inputs(private, f"{what}-endpoint")["privateEndpointName"] for what in resources}
    assert len(names) == len(resources)
    for what, resource in resources.items():
        endpoint, name = inputs(private, f"{what}-endpoint"), inputs(private, f"{what}-name")
        assert endpoint["subnet"]["id"] == ENDPOINTS
        (connection,) = endpoint["privateLinkServiceConnections"]
        assert connection["groupIds"] == [what]
        assert connection["privateLinkServiceId"].endswith(f"/{resource}")
        assert name["privateEndpointName"] == endpoint["privateEndpointName"]
        assert name["privateDnsZoneConfigs"] == [{"name": what, "privateDnsZoneId": ZONES[what]}]


def test_where_private_endpoints_are_the_one_way_in_no_other_is_open(private: Deployed) -> None:
    properties, lease = inputs(private, "vault")["properties"], inputs(private, "lease-account")["networkRuleSet"]

    assert properties["publicNetworkAccess"] == "Disabled"
    assert properties["networkAcls"]["virtualNetworkRules"] == []
    assert (lease["ipRules"], lease["virtualNetworkRules"]) == ([], [])
