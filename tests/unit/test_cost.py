"""The estimate of cost: quantities from a plan, by the list prices that its pages name."""

from collections.abc import Mapping
from typing import Any

import pytest

from policies import cost
from policies.rule import UNKNOWN, Environment, Plan, Resource
from tests.unit.policy_plans import OPTIONS, STACK_FILES, plan, shipped


def plan_of(*declared: tuple[str, Mapping[str, Any]], secrets: int = 0) -> Plan:
    resources = tuple(Resource(type=kind, name=kind, urn=kind, properties=has) for kind, has in declared)
    outputs = {"secretops": {"secrets": [{}] * secrets}}
    return Plan(project="p", stack="s", environment=Environment.PRODUCTION, resources=resources, outputs=outputs)


def service(tasks: object) -> tuple[str, Mapping[str, Any]]:
    return "aws:ecs/service:Service", {"desiredCount": tasks}


def task(architecture: str) -> tuple[str, Mapping[str, Any]]:
    platform = {"cpuArchitecture": architecture}
    return "aws:ecs/taskDefinition:TaskDefinition", {"cpu": "256", "memory": "512", "runtimePlatform": platform}


def cluster(insights: str) -> tuple[str, Mapping[str, Any]]:
    return "aws:ecs/cluster:Cluster", {"settings": [{"name": "containerInsights", "value": insights}]}


SECRET, KEY = "aws:secretsmanager/secret:Secret", "aws:kms/key:Key"
RULE, LOG = "azure-native:monitor:ScheduledQueryRule", "azure-native:operationalinsights:Workspace"
CONTAINER = {"resources": {"cpu": 0.25, "memory": "0.5Gi"}}
APP = "azure-native:app:ContainerApp", {"template": {"containers": [CONTAINER], "scale": {"minReplicas": 1}}}
NETWORK = "azure-native:app:ManagedEnvironment", {"vnetConfiguration": {"infrastructureSubnetId": UNKNOWN}}


@pytest.mark.parametrize(
    ("declared", "usd"),
    [
        ([service(2), task("X86_64")], 2 * 730 * (0.25 * 0.04656 + 0.5 * 0.00511)),
        ([service(2), task("ARM64")], 2 * 730 * (0.25 * 0.03725 + 0.5 * 0.00409)),
        ([service(UNKNOWN), task("X86_64")], 730 * (0.25 * 0.04656 + 0.5 * 0.00511)),
        ([(SECRET, {"replicas": [{"region": "eu-west-1"}]})], 0.80),
        ([(KEY, {}), ("aws:kms/replicaKey:ReplicaKey", {})], 2.00),
        ([("aws:cloudwatch/metricAlarm:MetricAlarm", {})] * 3, 0.30),
        ([("aws:scheduler/schedule:Schedule", {})], 0.90),
        ([cluster("enabled")], 9.00),
        ([cluster("disabled")], 0),
        ([("aws:lb/loadBalancer:LoadBalancer", {})], 19.71),
        ([("aws:dynamodb/table:Table", {}), ("aws:sqs/queue:Queue", {})], 0),
        ([APP], 730 * 3600 * (0.25 * 0.000004 + 0.5 * 0.000004)),
        ([(RULE, {"evaluationFrequency": "PT5M"})] * 2 + [(RULE, {"evaluationFrequency": "PT15M"})], 3.50),
        ([("azure-native:app:Job", {"configuration": {"triggerType": "Event"}})], 0),
        ([("azure-native:app:Job", {"configuration": {"triggerType": "Schedule"}})], 730 * 30 * 0.0000105),
        ([(LOG, {"retentionInDays": 31})], 0.299),
        ([NETWORK], 730 * 0.03),
        ([("azure-native:network:PrivateEndpoint", {})] * 3, 21.90),
    ],
)
def test_an_estimate_is_quantity_times_list_price(declared: list[tuple[str, Mapping[str, Any]]], usd: float) -> None:
    assert cost.total(cost.estimate(plan_of(*declared))) == pytest.approx(usd)


def test_requests_at_rest_are_the_polls_of_each_secret() -> None:
    aws = plan_of(service(2), task("X86_64"), (SECRET, {}))
    azure = plan_of(("azure-native:keyvault:Vault", {}), secrets=4)

    assert [one.quantity for one in cost.estimate(aws) if "requests" in one.item.what] == [pytest.approx(1.752)]
    assert [one.quantity for one in cost.estimate(azure)] == [pytest.approx(3.796)]


def test_a_shipped_prod_stack_costs_less_than_before_at_rest() -> None:
    """The review of 29 November 2026 counted 35 to 38 USD on AWS and 18 to 28 on Azure."""
    prod, azure = (cost.total(cost.estimate(shipped(name))) for name in ("prod", "prod-azure"))

    assert (prod < 38, azure < 28) == (True, True), (prod, azure)


@pytest.mark.parametrize("name", [*STACK_FILES, *OPTIONS])
def test_each_cloud_resource_has_a_price_or_is_free_at_rest(name: str) -> None:
    shown = shipped(name) if name in STACK_FILES else plan(name)

    assert cost.unpriced(shown) == ()
    assert bool(cost.text(shown)) == any(one.type.startswith(("aws:", "azure-native:")) for one in shown.resources)


def test_an_estimate_names_a_type_without_a_price() -> None:
    shown = plan_of(("aws:ec2/natGateway:NatGateway", {}), (KEY, {}))

    assert "aws:ec2/natGateway:NatGateway" in cost.text(shown)
