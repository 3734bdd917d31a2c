"""In every Kubernetes example, a network rule allows DNS, the broker and the API server, at each distribution's
addresses."""

import ipaddress
import re
from typing import Any

import pytest

from components.core.broker import BrokerArgs
from components.kubernetes.pod_args import PodArgs
from components.settings.section import PROJECT_FOLDER
from tests.unit.harness import Deployed, deploy
from tests.unit.policy_plans import STACK_FILES, text_of, with_fakes
from tests.unit.stack_file import StackFile

EXAMPLES = ("staging", "prod-aws-kubernetes", "prod-azure-kubernetes", "prod-vault-kubernetes")
PRIVATE = ("10.96.0.1", "172.20.1.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "fd00::1", "fe80::1")
# A namespace represents a pod of it.
ROW = re.compile(r"\| ([^|]+) \| `([^`]+):(\d+)` \| `([^`]+):(\d+)` \| \[.+\]\(https://.+\) \|")
DISTRIBUTIONS = ROW.findall((PROJECT_FOLDER / "docs/operations/kubernetes.md").read_text())


def reached(spec: Any, where: str, protocol: str, port: int) -> bool:
    """Return whether an egress rule allows `where`: an address, or the pods of a namespace (Kubernetes,
    NetworkPolicy)."""
    return any(
        {"port": port, "protocol": protocol} in rule["ports"] and any(_is(peer, where) for peer in rule["to"])
        for rule in spec["egress"]
    )


def _is(peer: Any, where: str) -> bool:
    try:
        address = ipaddress.ip_address(where)
    except ValueError:
        labels = peer.get("namespaceSelector", {"matchLabels": {"no": "pod"}}).get("matchLabels", {})
        return bool(labels in ({}, {"kubernetes.io/metadata.name": where}))
    block = peer.get("ipBlock", {"cidr": "240.0.0.0/32"})
    inside = [address in ipaddress.ip_network(cidr) for cidr in (block["cidr"], *block.get("except", ()))]
    return inside[0] and not any(inside[1:])


def egress_policies(deployed: Deployed) -> dict[str, Any]:
    names = ("server-network", "rotator-network")
    return {name: deployed.resources[name].inputs["spec"] for name in names if name in deployed.resources}


@pytest.fixture(scope="module", params=EXAMPLES)
def example(request: pytest.FixtureRequest) -> Deployed:
    with with_fakes(STACK_FILES[request.param].read_text()) as text:
        return deploy(StackFile.read(text), request.param)


def test_examples_reach_what_they_need_on_every_distribution(example: Deployed) -> None:
    assert {"kind", "EKS", "AKS", "GKE", "OpenShift"} <= {name for name, *_ in DISTRIBUTIONS}
    policies, is_store = egress_policies(example), example.exports["secretops"]["store"]["kind"] == "kubernetes"
    for name, dns, dns_port, api, api_port in DISTRIBUTIONS:
        for spec in policies.values():
            assert all(reached(spec, dns, protocol, int(dns_port)) for protocol in ("UDP", "TCP")), name
        if is_store:
            assert reached(policies["rotator-network"], api, "TCP", int(api_port)), name
            assert api_port == "443" or not reached(policies["server-network"], api, "TCP", int(api_port)), name
    for spec in policies.values():
        assert reached(spec, "203.0.113.10", "TCP", 8883) and not reached(spec, "203.0.113.10", "TCP", 1883), "broker"
    assert [one for one in PRIVATE if reached(policies["server-network"], one, "TCP", 443)] == []


def test_examples_wait_for_a_rollout_and_keep_replicas_meanwhile(example: Deployed) -> None:
    """tests/stacks/test_staging.py runs the provider on a real API server."""
    deployment = example.resources["deployment"].inputs
    annotations = deployment["metadata"]["annotations"]
    assert annotations["pulumi.com/waitFor"].startswith("jsonpath={$[?") and annotations["pulumi.com/timeoutSeconds"]
    assert "pulumi.com/skipAwait" not in annotations
    spec, budget = deployment["spec"], example.resources["disruption-budget"].inputs["spec"]
    assert (spec["replicas"], spec["strategy"]["rollingUpdate"]) == (2, {"maxUnavailable": 0, "maxSurge": 1})
    assert budget["maxUnavailable"] == 1


@pytest.mark.parametrize(
    ("host", "inside", "outside"),
    [
        ("mosquitto.plant.svc", True, False),
        ("mosquitto.plant.svc.cluster.local", True, False),
        ("mosquitto-0.mosquitto.plant.svc.cluster.local", True, False),
        ("mosquitto.plant", True, True),
        ("mqtt.example.com", False, True),
        ("203.0.113.10", False, True),
    ],
)
def test_brokers_in_the_cluster_are_reached_by_namespace(host: str, inside: bool, outside: bool) -> None:
    from components.kubernetes.network import to_broker  # imports the SDK

    rule: Any = to_broker(BrokerArgs(host=host), PodArgs(image="it"))
    by_name = [peer.namespace_selector.match_labels for peer in rule.to if peer.namespace_selector]
    assert by_name == ([{"kubernetes.io/metadata.name": "plant"}] if inside else [])
    assert any(peer.ip_block for peer in rule.to) is outside


def test_dns_and_api_server_are_where_the_stack_file_says() -> None:
    options = ", dns_cidrs: [10.0.0.53/32], dns_ports: [54], api_server_ports: [7443]"
    with with_fakes(text_of("staging").replace("mcp:0.1.0'", f"mcp:0.1.0'{options}")) as text:
        spec = egress_policies(deploy(StackFile.read(text), "staging"))["rotator-network"]
    assert reached(spec, "10.0.0.53", "UDP", 54) and not reached(spec, "169.254.20.10", "UDP", 53)
    assert reached(spec, "10.0.0.5", "TCP", 7443) and not reached(spec, "10.0.0.5", "TCP", 443)


def test_service_has_the_pods_port() -> None:
    """EKS requires it (docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html, Considerations)."""
    with with_fakes(text_of("staging")) as text:
        made = deploy(StackFile.read(text), "staging").resources
    (pods,) = made["deployment"].inputs["spec"]["template"]["spec"]["containers"][0]["ports"]
    (service,) = made["service"].inputs["spec"]["ports"]
    assert (service["port"], service["name"]) == (pods["containerPort"], pods["name"])
