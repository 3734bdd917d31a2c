"""What is wrong between sections of a stack file of Azure, and is told with the remedy before anything is made."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from secretops.entrypoints import lay_files
from settings import ConfigurationError
from tests.unit.azure_ids import SUBSCRIPTION, TENANT
from tests.unit.azure_stack import ENDPOINT, ENDPOINTS, OPERATOR, REGISTRY, SUBNET, file_on_azure, refusals
from tests.unit.harness import ca_file

OTHER = TENANT
"""Of a subscription that is not the stack's."""

PRIVATE = f', subnet: "{SUBNET}", network: {{private_endpoint: %s}}'


@pytest.mark.parametrize(
    ("entries", "told"),
    [
        ({"store": ", network: {addresses: [203.0.113.7]}"}, "store.network: without store.subnet"),
        ({"server": ", ingress: network"}, "server.ingress: network, without store.subnet"),
        ({"secrets": "{mqtt-pending: {fields: [a], readers: [rotator]}}"}, "named like what is prepared for mqtt"),
        ({"secrets": "{plant-db: {fields: [url]}}"}, "secrets.plant-db: read by the server, with server containerapp"),
        ({"store": ", network: {addresses: [203.0.113.7/31]}"}, "store.network.addresses.0"),
        ({"store": f', subnet: "{SUBNET}", network: {{}}'}, "nobody could put the first value"),
        ({"store": f', subnet: "{SUBNET}", network: {{subnets: ["{SUBNET}"]}}'}, "nobody could put the first value"),
        ({"store": ", network: {adresses: [203.0.113.7]}"}, "did you mean addresses?"),
        ({"store": ", generation: 0"}, "from 1 to 999"),
        ({"store": ", retention_days: 3650"}, "from 30 to 730"),
        ({"store": ", subnet: plant"}, "the resource id of a subnet"),
        ({"store": ", resource_group: 'plant.'"}, "a resource group's name"),
        ({"server": ", ingress: public"}, "one of environment, network"),
        ({"rotation": "{grace_seconds: 239}"}, "rotation.grace_seconds: 239 with server containerapp"),
        ({"server": ", replicas: 1"}, "server.replicas"),
    ],
)
def test_what_cannot_work_is_refused_with_the_remedy(entries: dict[str, str], told: str) -> None:
    assert any(told in refusal for refusal in refusals(**entries)), refusals(**entries)


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("10.0.0.4", "an address of the internet"),
        ("172.31.255.255", "an address of the internet"),
        ("192.168.0.0/16", "an address of the internet"),
        ("999.1.1.1", "a public IPv4 address"),
        ("203.0.113.7/24", "a public IPv4 address"),
        ("203.0.113.7/32", "from /8 to /30"),
        ("128.0.0.0/7", "from /8 to /30"),
        ("2001:db8::1", "a public IPv4 address"),
        ("plant", "a public IPv4 address"),
    ],
)
def test_an_address_that_azures_firewalls_do_not_take_is_refused(address: str, told: str) -> None:
    (refusal,) = refusals(f', subnet: "{SUBNET}", network: {{addresses: ["{address}"]}}')

    assert f'store.network.addresses.0: "{address}"' in refusal
    assert told in refusal


@pytest.mark.parametrize("address", ["203.0.113.7", "203.0.113.4/30", "198.51.100.0/24", "11.0.0.0/8", "172.32.0.0/16"])
def test_an_address_of_the_internet_or_a_network_of_them_is_taken(address: str) -> None:
    file_on_azure(f', subnet: "{SUBNET}", network: {{addresses: ["{address}"]}}').parse("prod")


def test_somebody_has_to_put_values() -> None:
    file = file_on_azure()
    file.entries["store"] = file.entries["store"].replace(f'["{OPERATOR}"]', "[]")

    with pytest.raises(ConfigurationError, match=r"store\.operators"):
        file.parse("prod")


def test_an_embedded_broker_is_reached_from_no_container() -> None:
    file = file_on_azure()
    file.entries["broker"] = '{"kind": "embedded"}'

    with pytest.raises(ConfigurationError, match="which no container reaches"):
        file.parse("dev")


@pytest.mark.parametrize(
    ("endpoint", "told"),
    [
        (ENDPOINT.replace(ENDPOINTS, SUBNET), "it is store.subnet, which is delegated to Container Apps"),
        (ENDPOINT.replace(ENDPOINTS, SUBNET.upper()), "the resource id of a subnet"),
        (ENDPOINT.replace(ENDPOINTS, SUBNET.replace("plant", "PLANT")), "which is delegated to Container Apps"),
        (ENDPOINT.replace(ENDPOINTS, ENDPOINTS.replace(SUBSCRIPTION, OTHER)), f"subnet: of subscription {OTHER}"),
        (ENDPOINT.replace("privatelink.blob", "privatelink.file"), "DNS zone privatelink.blob.core.windows.net"),
        (re.sub(r', "queue": "[^"]*"', "", ENDPOINT), "dns_zones.queue"),
        (ENDPOINT.replace('"vault": ', '"valt": '), "did you mean vault?"),
    ],
)
def test_a_private_endpoint_that_azure_refuses_or_that_leaves_the_lease_out_is_refused(
    endpoint: str, told: str
) -> None:
    found = refusals(PRIVATE % endpoint)

    assert any(told in refusal for refusal in found), found


def test_an_environment_is_of_the_subscription_of_its_network() -> None:
    (refusal,) = refusals(f', subnet: "{SUBNET.replace(SUBSCRIPTION, OTHER)}"')

    assert f"store.subnet: of subscription {OTHER}" in refusal
    assert f"here {SUBSCRIPTION}" in refusal


@pytest.mark.parametrize(
    "image", ["example.com/mcp:1", "plants.azurecr.io/mcp:1", "plant-a.example.com/mcp:1", "azurecr.io/plant:1"]
)
def test_an_image_of_another_registry_than_the_one_that_is_named_is_refused(image: str) -> None:
    (refusal,) = refusals(f', registry: "{REGISTRY}"', image=image)

    assert f"server.image: {image}" in refusal
    assert "an image of plant.azurecr.io" in refusal


@pytest.mark.parametrize("image", ["plant.azurecr.io/mcp:1", "plant-a1b2c3d4.azurecr.io/mcp:1"])
def test_a_login_server_may_have_a_label_behind_the_registrys_name(image: str) -> None:
    file_on_azure(f', registry: "{REGISTRY}"', image=image).parse("prod")


def test_a_bundle_that_no_variable_of_linux_holds_is_told_at_preview(tmp_path: Path) -> None:
    one = ca_file(tmp_path)
    fits, more = tmp_path / "fits.crt", tmp_path / "more.crt"
    times = lay_files.LIMIT // len(one.read_bytes())
    fits.write_bytes(one.read_bytes() * times)
    more.write_bytes(one.read_bytes() * (times + 1))

    file_on_azure(broker=f', ca_file: "{fits}"').parse("prod")
    (refusal,) = refusals(broker=f', ca_file: "{more}"')
    assert f"broker.ca_file: {more}" in refusal
    assert f"at most {lay_files.LIMIT}" in refusal
