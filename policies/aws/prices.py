from __future__ import annotations

from collections.abc import Callable, Iterator

from policies.cost import HOURS, POLLS, ByUse, Item, PriceList, Source, count, whole
from policies.plan import Plan

# Number of metrics that Container Insights publishes for a cluster with one service of one task family: 8 usage metrics
# for each of the three, and 6 counts
# (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html).
INSIGHTS_METRICS = 30
# Number of metrics that the tick reports at rest (secretops.platforms.aws.lambda_handler). The other metrics then cost
# nothing.
TICK_METRICS = 3

_FARGATE = Source("https://aws.amazon.com/fargate/pricing/", "2026-08-05")
_SECRETS = Source("https://aws.amazon.com/secrets-manager/pricing/", "2026-09-20")
_KMS = Source("https://aws.amazon.com/kms/pricing/", "undated")
_CLOUDWATCH = Source("https://aws.amazon.com/cloudwatch/pricing/", "2026-06-13")
_ELB = Source("https://aws.amazon.com/elasticloadbalancing/pricing/", "2026-09-20")
_CLOUDTRAIL = Source("https://aws.amazon.com/cloudtrail/pricing/", "2025-07-01")


def _tasks(plan: Plan) -> int:
    return sum(whole(one.properties.get("desiredCount")) for one in plan.of_type("aws:ecs/service:Service"))


def _fargate(size: str, unit: int, architecture: str) -> Callable[[Plan], float]:

    def quantity(plan: Plan) -> float:
        for one in plan.of_type("aws:ecs/taskDefinition:TaskDefinition"):
            platform = one.properties.get("runtimePlatform") or {}
            if platform.get("cpuArchitecture", "X86_64") == architecture:
                return _tasks(plan) * int(one.properties[size]) / unit
        return 0

    return quantity


def _replica_secrets(plan: Plan) -> float:
    return sum(len(one.properties.get("replicas") or ()) for one in plan.of_type("aws:secretsmanager/secret:Secret"))


def _polls_of_tasks(plan: Plan) -> float:
    if any(True for _ in plan.of_type("coreflux-mcp-secrets:aws:Redeploy")):
        return 0
    return _tasks(plan) * count("aws:secretsmanager/secret:Secret")(plan) * POLLS / 10_000


def _insights(plan: Plan) -> float:
    settings = [
        each for one in plan.of_type("aws:ecs/cluster:Cluster") for each in one.properties.get("settings") or ()
    ]
    on = any(one.get("name") == "containerInsights" and one.get("value") != "disabled" for one in settings)
    return INSIGHTS_METRICS if on else 0


def _tick_metrics(plan: Plan) -> float:
    return TICK_METRICS * count("aws:scheduler/schedule:Schedule")(plan)


def _items() -> Iterator[Item]:
    tasks = "`server.replicas`, `server.architecture`"
    secrets, polls = "`secrets`, `agent`, `issuer`", "`server.replicas`, `server.reference`, `secrets`"
    trail, of_keys = "`store.existing_trail`", "`store.kms_key`, `store.replicas`, `store.existing_trail`"
    yield Item("Fargate, vCPU", 0.04656 * HOURS, _FARGATE, tasks, _fargate("cpu", 1024, "X86_64"))
    yield Item("Fargate, GB", 0.00511 * HOURS, _FARGATE, tasks, _fargate("memory", 1024, "X86_64"))
    yield Item("Fargate on ARM64, vCPU", 0.03725 * HOURS, _FARGATE, tasks, _fargate("cpu", 1024, "ARM64"))
    yield Item("Fargate on ARM64, GB", 0.00409 * HOURS, _FARGATE, tasks, _fargate("memory", 1024, "ARM64"))
    yield Item("secret", 0.40, _SECRETS, secrets, count("aws:secretsmanager/secret:Secret"))
    yield Item("copy of a secret in another region", 0.40, _SECRETS, "`store.replicas`", _replica_secrets)
    yield Item("10,000 requests of launchers, with KMS", 0.05 + 0.03, _SECRETS, polls, _polls_of_tasks)
    keys = count("aws:kms/key:Key", "aws:kms/replicaKey:ReplicaKey")
    yield Item(
        "KMS key; 2.00 from its second year on, 3.00 from its third (yearly rotation)", 1.00, _KMS, of_keys, keys
    )
    yield Item("CloudWatch alarm", 0.10, _CLOUDWATCH, trail, count("aws:cloudwatch/metricAlarm:MetricAlarm"))
    yield Item("CloudWatch metric of the tick", 0.30, _CLOUDWATCH, "none", _tick_metrics)
    yield Item("CloudWatch metric of Container Insights", 0.30, _CLOUDWATCH, "`server.container_insights`", _insights)
    balancers = count("aws:lb/loadBalancer:LoadBalancer")
    yield Item("Application Load Balancer", 0.027 * HOURS, _ELB, "`server.load_balancer`", balancers)


PRICES = (
    PriceList(
        package="aws",
        region="eu-central-1",
        items=tuple(_items()),
        by_use=(
            ByUse(what="GB of the account's events into CloudWatch Logs", usd=0.63, source=_CLOUDWATCH),
            ByUse(what="100,000 events in a second trail of the account", usd=2.00, source=_CLOUDTRAIL),
        ),
        priced=(
            *("aws:ecs/", "aws:secretsmanager/", "aws:kms/", "aws:cloudwatch/metricAlarm", "aws:scheduler/", "aws:lb/"),
        ),
        free=(
            *("aws:iam/", "aws:lambda/", "aws:sqs/", "aws:sns/", "aws:s3/", "aws:dynamodb/", "aws:cloudtrail/trail:"),
            *("aws:cloudwatch/event", "aws:cloudwatch/log", "aws:ec2/securityGroup"),
        ),
    ),
)
