"""The cost estimate: quantities from a plan, at the list prices that the pages cite."""

from collections.abc import Mapping
from typing import Any

import pytest

from components.settings.section import PROJECT_FOLDER
from policies import cost
from policies.plan import UNKNOWN, Environment, Plan, Resource
from tests.unit.policy_plans import OPTIONS, STACK_FILES, plan, shipped

Declared = tuple[str, Mapping[str, Any]]


def plan_of(*declared: Declared, secrets: int = 0) -> Plan:
    resources = tuple(Resource(type=kind, name=kind, urn=kind, properties=has) for kind, has in declared)
    outputs: dict[str, Any] = {"secretops": {"secrets": [{}] * secrets}}
    return Plan(project="p", stack="s", environment=Environment.PRODUCTION, resources=resources, outputs=outputs)


def service(tasks: object, architecture: str = "X86_64") -> list[Declared]:
    task = {"cpu": "256", "memory": "512", "runtimePlatform": {"cpuArchitecture": architecture}}
    return [("aws:ecs/service:Service", {"desiredCount": tasks}), ("aws:ecs/taskDefinition:TaskDefinition", task)]


def cluster(insights: str) -> Declared:
    return "aws:ecs/cluster:Cluster", {"settings": [{"name": "containerInsights", "value": insights}]}


SECRET, KEY = "aws:secretsmanager/secret:Secret", "aws:kms/key:Key"
RULE, LOG = "azure-native:monitor:ScheduledQueryRule", "azure-native:operationalinsights:Workspace"
TICK = "azure-native:app:Job", {"configuration": {"triggerType": "Schedule"}}
CONTAINER = {"resources": {"cpu": 0.25, "memory": "0.5Gi"}}
APP = "azure-native:app:ContainerApp", {"template": {"containers": [CONTAINER], "scale": {"minReplicas": 1}}}
NETWORK = "azure-native:app:ManagedEnvironment", {"vnetConfiguration": {"infrastructureSubnetId": UNKNOWN}}


@pytest.mark.parametrize(
    ("declared", "usd"),
    [
        (service(2), 2 * 730 * (0.25 * 0.04656 + 0.5 * 0.00511)),
        (service(2, "ARM64"), 2 * 730 * (0.25 * 0.03725 + 0.5 * 0.00409)),
        *((service(UNKNOWN), 730 * (0.25 * 0.04656 + 0.5 * 0.00511)), ([(SECRET, {"replicas": [{}]})], 0.80)),
        *(([(KEY, {}), ("aws:kms/replicaKey:ReplicaKey", {})], 2.00), ([cluster("enabled")], 9.00)),
        ([("aws:cloudwatch/metricAlarm:MetricAlarm", {}), ("aws:scheduler/schedule:Schedule", {})], 1.00),
        *(([cluster("disabled")], 0), ([("aws:lb/loadBalancer:LoadBalancer", {})], 19.71)),
        *(([APP], 730 * 3600 * 0.75 * 0.000004), ([(LOG, {"retentionInDays": 31})], 0.299), ([NETWORK], 21.90)),
        ([(RULE, {"evaluationFrequency": "PT5M"})] * 2 + [(RULE, {"evaluationFrequency": "PT15M"})], 3.50),
        *(([TICK], 0.22995), ([("azure-native:network:PrivateEndpoint", {})] * 3, 21.90)),
    ],
)
def test_an_estimate_is_quantity_times_list_price(declared: list[Declared], usd: float) -> None:
    assert cost.total(cost.estimate(plan_of(*declared))) == pytest.approx(usd)


def test_requests_at_rest_are_the_polls_of_each_secret() -> None:
    vault = plan_of(("azure-native:keyvault:Vault", {}), secrets=4)
    injected = plan_of(*service(2), (SECRET, {}), ("coreflux-mcp-secrets:aws:Redeploy", {}))
    for costed, counts in ((plan_of(*service(2), (SECRET, {})), [1.752]), (vault, [3.796]), (injected, [])):
        assert [one.quantity for one in cost.estimate(costed) if "requests" in one.item.what] == pytest.approx(counts)


@pytest.mark.parametrize(("name", "before"), [("prod", 35), ("prod-azure", 20.67)])
def test_a_shipped_prod_stack_costs_less_than_before_at_rest(name: str, before: float) -> None:
    """`before` is the cost before docs/adr/0017. The Azure stack had no subnet then, so the load balancer of the subnet
    is left out."""
    lines = cost.estimate(shipped(name))
    assert lines == cost.estimate(shipped(name, preview=True))
    closing = sum(line.usd for line in lines if line.item.setting == "`store.subnet`")
    assert cost.total(lines) - closing < before
    page = (PROJECT_FOLDER / f"docs/operations/{name.removeprefix('prod-').replace('prod', 'aws')}.md").read_text()
    assert f" makes {len(shipped(name).resources) + 1} resources" in page, "and the stack itself"
    if closing:
        amounts = closing, cost.total(lines) - closing, cost.total(lines)
        assert [one for one in amounts if f"{one:.2f} USD" not in page] == [], "what closing the network costs"


@pytest.mark.parametrize("name", [*STACK_FILES, *OPTIONS])
def test_each_cloud_resource_has_a_price_or_is_free_at_rest(name: str) -> None:
    costed = shipped(name) if name in STACK_FILES else plan(name)
    assert cost.unpriced(costed) == ()
    assert bool(cost.text(costed)) == any(one.type.startswith(("aws:", "azure-native:")) for one in costed.resources)


def test_an_estimate_names_a_type_without_a_price() -> None:
    assert "aws:ec2/natGateway:NatGateway" in cost.text(plan_of(("aws:ec2/natGateway:NatGateway", {}), (KEY, {})))
