"""What a stack of a cloud may say besides the shipped one: a preview on the stand-in, which checks every input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.real.mosquitto import Mosquitto
from tests.real.moto import Aws
from tests.real.upstream import SMALL_SERVER
from tests.stacks.prod import ProdStack, new_prod_stack
from tests.stacks.prod_aws import new_prod

Section = dict[str, object]

pytestmark = pytest.mark.real

GROUPS = ["sg-0123456789abcdef0"]
OPTIONS: dict[str, tuple[Section, Section]] = {
    "everything of the stack's own": (
        {
            "replicas": ["eu-north-1"],
            "vpc": {
                "subnets": ["subnet-0123456789abcdef0"],
                "security_groups": GROUPS,
                "way_out": "nat-0123456789abcdef0",
            },
            "alert_emails": ["ops@example.com"],
        },
        {
            "replicas": 1,
            "allowed_hosts": ["mcp.example.com"],
            "load_balancer": {
                "vpc": "vpc-0123456789abcdef0",
                "security_groups": GROUPS,
                "certificate": "arn:aws:acm:eu-central-1:123456789012:certificate/0123",
            },
        },
    ),
    "everything of somebody else's": (
        {
            "existing_trail": {"arn": "arn:aws:cloudtrail:eu-central-1:123456789012:trail/all", "log_group": "all"},
            "alert_topic": "arn:aws:sns:eu-central-1:123456789012:alerts",
        },
        {"reference": "Fetched", "cluster": "main", "copilot": False},
    ),
}
"""Stacks beside the shipped one: what their sections store and server say besides."""


@pytest.mark.parametrize("options", OPTIONS)
def test_a_preview_of_every_option_passes_the_check_of_inputs(
    options: str, moto: Aws, mosquitto: Mosquitto, tmp_path: Path
) -> None:
    creates(new_prod(tmp_path, mosquitto, moto), *OPTIONS[options], more_than=50)


NETWORK = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/net/providers/Microsoft.Network"


def test_a_preview_of_every_option_of_azure_passes_the_check_of_inputs(mosquitto: Mosquitto, tmp_path: Path) -> None:
    subnets = f"{NETWORK}/virtualNetworks/plant/subnets"
    hosts = {"vault": "vaultcore.azure.net", "blob": "blob.core.windows.net", "queue": "queue.core.windows.net"}
    zones = {what: f"{NETWORK}/privateDnsZones/privatelink.{host}" for what, host in hosts.items()}
    endpoint = {"subnet": f"{subnets}/endpoints", "dns_zones": zones}
    network = {"addresses": ["203.0.113.7"], "subnets": [f"{subnets}/desks"], "private_endpoint": endpoint}
    creates(
        new_prod_stack(tmp_path, "examples/Pulumi.prod-azure.yaml", mosquitto, {}),
        {"resource_group": "plant", "subnet": f"{subnets}/containers", "network": network, "generation": 2},
        {"ingress": "network", "allowed_hosts": ["mcp.example.com"], "bootstrapped": True},
        more_than=45,
    )


def test_a_preview_of_azure_for_this_machine_passes_the_check_of_inputs(mosquitto: Mosquitto, tmp_path: Path) -> None:
    creates(
        new_prod_stack(tmp_path, "examples/Pulumi.dev-azure-local.yaml", mosquitto, {}),
        {},
        {"folder": str(tmp_path / "mcp"), "source": str(SMALL_SERVER)},
        more_than=40,
    )


def creates(stack: ProdStack, store: Section, server: Section, *, more_than: int) -> None:
    """Fails the test unless a preview of the stack with this besides makes so many resources."""
    for section, besides in (("store", store), ("server", server)):
        stack.config[section] |= besides
    stack.configure()
    preview = stack.run("preview")
    assert preview.returncode == 0, preview.stdout
    assert int(re.findall(r"\+ (\d+) to create", preview.stdout)[0]) > more_than
