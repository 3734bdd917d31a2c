"""Options that the shipped stacks of clouds do not use: previews on the stand-in, which checks every input."""

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.aws import lambda_package
from tests.stacks.prod import new_prod_stack
from tests.unit.harness import ca_file

Section = dict[str, object]

pytestmark = pytest.mark.real

NETWORK = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/net/providers/Microsoft.Network"
SUBNETS = f"{NETWORK}/virtualNetworks/plant/subnets"
HOSTS = {"vault": "vaultcore.azure.net", "blob": "blob.core.windows.net"}
ZONES = {what: f"{NETWORK}/privateDnsZones/privatelink.{host}" for what, host in HOSTS.items()}
GROUPS = ["sg-0123456789abcdef0"]
VPC = {"subnets": ["subnet-0123456789abcdef0"], "security_groups": GROUPS, "way_out": "nat-0123456789abcdef0"}
CERTIFICATE = "arn:aws:acm:eu-central-1:123456789012:certificate/0123"
BALANCER = {"vpc": "vpc-0123456789abcdef0", "security_groups": GROUPS, "certificate": CERTIFICATE}
ENDPOINT = {"subnet": f"{SUBNETS}/endpoints", "dns_zones": ZONES}
GUARDED = {"addresses": ["203.0.113.7"], "subnets": [f"{SUBNETS}/desks"], "private_endpoint": ENDPOINT}


@dataclass(frozen=True)
class Options:
    """More options for the sections store and server of a shipped stack file, and the expected number of resources."""

    file: str
    store: Section
    server: Section
    more_than: int


OF_ITS_OWN = Options(
    "Pulumi.prod.yaml",
    {"replicas": ["eu-north-1"], "vpc": VPC, "alert_emails": ["ops@example.com"]},
    {"replicas": 1, "allowed_hosts": ["mcp.example.com"], "load_balancer": BALANCER},
    50,
)
ON_AZURE = Options(
    "examples/Pulumi.prod-azure.yaml",
    {"resource_group": "plant", "subnet": f"{SUBNETS}/containers", "network": GUARDED, "generation": 2},
    {"ingress": "network", "allowed_hosts": ["mcp.example.com"], "bootstrapped": True},
    38,
)


@dataclass(frozen=True)
class NoBroker:
    ca_file: Path
    port: int = 8883


@pytest.mark.parametrize(
    "options",
    [pytest.param(OF_ITS_OWN, id="AWS, all of its own"), pytest.param(ON_AZURE, id="Azure", marks=pytest.mark.slow)],
)
def test_preview_on_the_stand_in_passes_the_check_of_inputs(options: Options, tmp_path: Path) -> None:
    if options.file == "Pulumi.prod.yaml":
        assert lambda_package.main() == 0, "make lambda says why"
    stack = new_prod_stack(tmp_path, options.file, NoBroker(ca_file(tmp_path)), {})
    stack.config["store"] |= options.store
    stack.config["server"] |= options.server
    stack.configure()
    preview = stack.run("preview")
    assert preview.returncode == 0, preview.stdout
    assert int(re.findall(r"\+ (\d+) to create", preview.stdout)[0]) > options.more_than
