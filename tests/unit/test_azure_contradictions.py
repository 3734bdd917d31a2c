"""What is wrong between sections of a stack file of Azure, and is reported before anything is made."""

import re
from pathlib import Path

import pytest

from secretops.entrypoints import lay_files
from tests.unit.azure_ids import SUBSCRIPTION, TENANT
from tests.unit.azure_stack import ENDPOINT, ENDPOINTS, ISSUER, READER, REGISTRY, SUBNET, file_on_azure, refusals
from tests.unit.harness import ca_file

OTHER = TENANT  # Of a subscription that is not the stack's.

PRIVATE = f', subnet: "{SUBNET}", network: {{private_endpoint: %s}}'
ADDRESS = f', subnet: "{SUBNET}", network: {{addresses: ["%s"]}}'
IN_A_CLUSTER = f"kind: kubernetes, oidc_issuer: '{ISSUER}'"
HERE = f"kind: local, reader: '{READER}'"


@pytest.mark.parametrize(
    ("entries", "entry"),
    [
        ({"store": ", network: {addresses: [203.0.113.7]}"}, "store.network:"),
        ({"store": ", open_to_internet: false"}, "store.network: missing"),
        ({"store": ADDRESS % "203.0.113.7" + ", open_to_internet: true"}, "store.open_to_internet:"),
        ({"server": ", ingress: network"}, "server.ingress:"),
        ({"secrets": "{mqtt-pending: {fields: [a], readers: [rotator]}}"}, "secrets.mqtt-pending:"),
        ({"secrets": "{plant-db: {fields: [url]}}"}, "secrets.plant-db:"),
        ({"store": f', subnet: "{SUBNET}", network: {{}}'}, "store.network:"),
        ({"store": f', subnet: "{SUBNET.replace(SUBSCRIPTION, OTHER)}"'}, f"store.subnet: of subscription {OTHER}"),
        ({"rotation": "{grace_seconds: 239}"}, "rotation.grace_seconds: 239"),
        ({"kind": "kind: local", "image": ""}, "server.reader:"),
        ({"kind": HERE, "image": ""}, "store.image:"),
        ({"kind": "kind: kubernetes"}, "server.oidc_issuer:"),
        ({"kind": IN_A_CLUSTER, "store": f", registry: '{REGISTRY}'", "image": "x/y:1"}, "server.image:"),
    ],
)
def test_what_cannot_work_is_refused_at_its_entry(entries: dict[str, str], entry: str) -> None:
    assert any(refusal.startswith(entry) for refusal in refusals(**entries)), refusals(**entries)


@pytest.mark.parametrize(
    ("endpoint", "key"),
    [
        (ENDPOINT.replace(ENDPOINTS, SUBNET), "subnet: /"),
        (ENDPOINT.replace(ENDPOINTS, ENDPOINTS.replace(SUBSCRIPTION, OTHER)), f"subnet: of subscription {OTHER}"),
        (re.sub(r', "blob": "[^"]*"', "", ENDPOINT), "dns_zones.blob"),
    ],
)
def test_a_private_endpoint_that_azure_refuses_or_that_leaves_the_lease_out_is_refused(endpoint: str, key: str) -> None:
    found = refusals(PRIVATE % endpoint)
    assert any(refusal.startswith(f"store.network.private_endpoint.{key}") for refusal in found), found


@pytest.mark.parametrize("image", ["example.com/mcp:1", "plants.azurecr.io/mcp:1"])
def test_an_image_of_another_registry_than_the_one_that_is_named_is_refused(image: str) -> None:
    (refusal,) = refusals(f', registry: "{REGISTRY}"', image=image)
    assert refusal.startswith(f"server.image: {image}")


def test_a_bundle_that_no_variable_of_linux_holds_is_refused(tmp_path: Path) -> None:
    one = ca_file(tmp_path)
    fits, more = tmp_path / "fits.crt", tmp_path / "more.crt"
    times = lay_files.LIMIT // len(one.read_bytes())
    fits.write_bytes(one.read_bytes() * times)
    more.write_bytes(one.read_bytes() * (times + 1))
    file_on_azure(broker=f', ca_file: "{fits}"').parse("prod")
    (refusal,) = refusals(broker=f', ca_file: "{more}"')
    assert refusal.startswith(f"broker.ca_file: {more}")
