"""Every Kubernetes example reaches DNS, its broker and the API server by a rule, on each distribution's addresses."""

import ipaddress
from typing import Any

import pytest

from components.kubernetes.sections import KubernetesServer
from components.sections import OutsideBroker
from tests.unit.harness import Deployed, deploy
from tests.unit.policy_plans import STACK_FILES, stood_in, text_of
from tests.unit.stack_file import StackFile

EXAMPLES = ("staging", "prod-aws-kubernetes", "prod-azure-kubernetes", "prod-vault-kubernetes")
# (distribution, where DNS answers, its port, where the API server answers, its port), as policies see both: behind the
# Service. A namespace stands for a pod of it; the page follows.
DISTRIBUTIONS = [
    ("kind", "kube-system", 53, "172.18.0.2", 6443),  # kind.sigs.k8s.io/docs/user/configuration
    ("kubeadm", "169.254.20.10", 53, "10.0.0.5", 6443),  # kubernetes.io/docs/tasks/administer-cluster/nodelocaldns
    ("minikube", "kube-system", 53, "192.168.49.2", 8443),  # minikube.sigs.k8s.io/docs/commands/start
    ("microk8s", "kube-system", 53, "10.0.0.5", 16443),  # microk8s.io/docs/services-and-ports
    ("EKS", "kube-system", 53, "10.0.0.5", 443),  # docs.aws.amazon.com/eks/latest/userguide/network-reqs.html
    ("AKS", "kube-system", 53, "20.50.1.2", 443),  # learn.microsoft.com/azure/aks/outbound-rules-control-egress
    ("AKS LocalDNS, cluster", "169.254.10.11", 53, "20.50.1.2", 443),  # learn.microsoft.com/azure/aks/localdns-custom
    ("AKS LocalDNS, node", "169.254.10.10", 53, "20.50.1.2", 443),
    ("GKE", "kube-system", 53, "172.16.0.2", 443),  # cloud.google.com/kubernetes-engine/docs/concepts/kube-dns
    ("GKE Cloud DNS", "169.254.169.254", 53, "172.16.0.2", 443),  # .../kubernetes-engine/docs/how-to/cloud-dns
    ("OpenShift", "openshift-dns", 5353, "10.0.0.5", 6443),  # github.com/openshift/cluster-dns-operator, daemonset.yaml
    ("Gardener", "kube-system", 8053, "198.51.100.7", 443),  # gardener.cloud/docs/gardener/networking/dns-autoscaling
]


def reached(spec: Any, where: str, protocol: str, port: int) -> bool:
    """Return whether an egress rule allows an address, or the pods of a namespace (Kubernetes, NetworkPolicy)."""
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
    with stood_in(STACK_FILES[request.param].read_text()) as text:
        return deploy(StackFile.read(text), request.param)


@pytest.mark.parametrize(("dns", "dns_port", "api", "api_port"), [row[1:] for row in DISTRIBUTIONS])
def test_examples_reach_what_they_need_on_every_distribution(
    example: Deployed, dns: str, dns_port: int, api: str, api_port: int
) -> None:
    for spec in egress_policies(example).values():
        for protocol in ("UDP", "TCP"):
            assert reached(spec, dns, protocol, dns_port)
        assert reached(spec, "203.0.113.10", "TCP", 8883), "the broker"
        assert not reached(spec, "203.0.113.10", "TCP", 1883)
    if example.exports["secretops"]["store"]["kind"] == "kubernetes":
        assert reached(egress_policies(example)["rotator-network"], api, "TCP", api_port)
        assert api_port == 443 or not reached(egress_policies(example)["server-network"], api, "TCP", api_port)


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
    from components.kubernetes.network import to_broker  # brings the SDK along

    server = KubernetesServer(kind="kubernetes", image="registry.example.com/it:1")
    rule: Any = to_broker(OutsideBroker(kind="coreflux", host=host), server)
    by_name = [peer.namespace_selector.match_labels for peer in rule.to if peer.namespace_selector]
    assert by_name == ([{"kubernetes.io/metadata.name": "plant"}] if inside else [])
    assert any(peer.ip_block for peer in rule.to) is outside


def test_dns_and_api_server_are_where_the_stack_file_says() -> None:
    said = ", dns_cidrs: [10.0.0.53/32], dns_ports: [54], api_server_ports: [7443]"
    with stood_in(text_of("staging").replace("mcp:0.1.0'", f"mcp:0.1.0'{said}")) as text:
        spec = egress_policies(deploy(StackFile.read(text), "staging"))["rotator-network"]
    assert reached(spec, "10.0.0.53", "UDP", 54) and not reached(spec, "169.254.20.10", "UDP", 53)
    assert reached(spec, "10.0.0.5", "TCP", 7443) and not reached(spec, "10.0.0.5", "TCP", 443)


def test_service_has_the_pods_port() -> None:
    """EKS wants that (docs.aws.amazon.com/eks/latest/userguide/cni-network-policy.html, Considerations)."""
    with stood_in(text_of("staging")) as text:
        made = deploy(StackFile.read(text), "staging").resources
    (pods,) = made["deployment"].inputs["spec"]["template"]["spec"]["containers"][0]["ports"]
    (service,) = made["service"].inputs["spec"]["ports"]
    assert (service["port"], service["name"]) == (pods["containerPort"], pods["name"])
