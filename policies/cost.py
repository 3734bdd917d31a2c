"""Estimate what a stack costs at rest, from its plan and the list prices of AWS and Azure. Needs no network.

`make preview` and `python -m policies` print the estimate; the tables on the clouds' pages are made of the same items.
At rest means: nobody calls the server, and nothing rotates. Free allowances of an account are left out, since what else
the account runs may use them. The prices are those of one region per cloud (REGIONS); other regions differ a little.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from policies.plan import Plan

# A month, as the calculators of AWS and Azure count it.
HOURS = 730
SECONDS = HOURS * 3600
# Type prefix -> the region of the prices: that of Pulumi.prod.yaml and of examples/Pulumi.prod-azure.yaml.
REGIONS: Mapping[str, str] = {"aws": "eu-central-1", "azure-native": "westeurope"}
CENT = 0.01
# Polls of a launcher for each secret: every 5 minutes (secretops.launcher.polling_source).
POLLS = HOURS * 12
# Metrics that Container Insights publishes for a cluster with one service of one task family: 8 of their usage each,
# and 6 counts (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html).
INSIGHTS_METRICS = 30
# Metrics of the tick (secretops.platforms.aws.lambda_handler). The others have no value, and no price, at rest.
TICK_METRICS = 3
# A tick on Azure: 30 s of 0.25 vCPU and 0.5 GiB, billed at the active rate.
TICK_SECONDS = 30
# Log Analytics rows of an idle stack a month: some 50,000 of about 2 KB, requests of launcher and ticks.
LOG_GB = 0.1


class Source(NamedTuple):
    """A page with list prices, and the date of the copy of it that a price was read from."""

    page: str
    read: str


_FARGATE = Source("https://aws.amazon.com/fargate/pricing/", "2026-08-05")
_SECRETS = Source("https://aws.amazon.com/secrets-manager/pricing/", "2026-09-20")
_KMS = Source("https://aws.amazon.com/kms/pricing/", "undated")
_CLOUDWATCH = Source("https://aws.amazon.com/cloudwatch/pricing/", "2026-06-13")
_ELB = Source("https://aws.amazon.com/elasticloadbalancing/pricing/", "2026-09-20")
_CLOUDTRAIL = Source("https://aws.amazon.com/cloudtrail/pricing/", "2025-07-01")
_CONTAINER_APPS = Source("https://azure.microsoft.com/pricing/details/container-apps/", "2026-09-10")
_MONITOR = Source("https://azure.microsoft.com/pricing/details/monitor/", "2026-08-02")
_KEY_VAULT = Source("https://azure.microsoft.com/pricing/details/key-vault/", "2026-08-02")
_PRIVATE_LINK = Source("https://azure.microsoft.com/pricing/details/private-link/", "undated")
_BALANCER = Source("https://azure.microsoft.com/pricing/details/load-balancer/", "undated")


@dataclass(frozen=True, kw_only=True)
class Item:
    """Something that is billed each month, whatever the stack does."""

    cloud: str
    what: str
    usd: float
    """Of one, for a month."""
    source: Source
    setting: str
    """What in the stack file changes the quantity, as Markdown."""
    quantity: Callable[[Plan], float]


@dataclass(frozen=True, kw_only=True)
class ByUse:
    """Something that is billed by use, and therefore in no total."""

    cloud: str
    what: str
    usd: float
    source: Source


@dataclass(frozen=True, kw_only=True)
class Line:
    """An item and its quantity in one plan."""

    item: Item
    quantity: float

    @property
    def usd(self) -> float:
        """US dollars a month."""
        return self.item.usd * self.quantity


def estimate(plan: Plan) -> tuple[Line, ...]:
    """Return the items of the plan, the most expensive first; none without a cloud."""
    lines = (Line(item=item, quantity=item.quantity(plan)) for item in ITEMS)
    return tuple(sorted((line for line in lines if line.quantity), key=lambda line: -line.usd))


def total(lines: Iterable[Line]) -> float:
    """Return US dollars a month."""
    return sum(line.usd for line in lines)


def unpriced(plan: Plan) -> tuple[str, ...]:
    """Return the types of cloud resources that are neither priced nor known to cost nothing at rest."""
    types = {one.type for one in plan.resources if one.type.partition(":")[0] in REGIONS}
    return tuple(sorted(one for one in types if not one.startswith((*_PRICED, *_FREE))))


def text(plan: Plan) -> str:
    """Return the estimate as text; empty without a cloud."""
    lines = estimate(plan)
    if not lines:
        return ""
    clouds = {line.item.cloud for line in lines}
    regions = ", ".join(sorted(REGIONS[cloud] for cloud in clouds))
    return "\n".join(
        [
            f"Estimated cost at rest: {total(lines):.2f} USD a month (list prices of {regions})",
            *(f"  {line.usd:8.2f}  {line.item.what}: {line.quantity:.3g} x {money(line.item.usd)}" for line in lines),
            *(f"  by use: {money(one.usd)} per {one.what}" for one in BY_USE if one.cloud in clouds),
            *(f"  no price known: {one}" for one in unpriced(plan)),
        ]
    )


def money(usd: float) -> str:
    """Return an amount with two decimals, or with four if it is less than a cent."""
    return f"{usd:.2f}" if usd >= CENT else f"{usd:.4f}"


def _count(*types: str) -> Callable[[Plan], float]:
    return lambda plan: sum(1 for _ in plan.of_type(*types))


def _tasks(plan: Plan) -> int:
    return sum(_whole(one.properties.get("desiredCount")) for one in plan.of_type("aws:ecs/service:Service"))


def _fargate(size: str, unit: int, architecture: str) -> Callable[[Plan], float]:
    """Return the size of all tasks: `cpu` in vCPU of 1024, or `memory` in GB of 1024. A stack has one task
    definition."""

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
    """Return tens of thousands, at most: each task polls each secret. With NativeRef no task polls."""
    if any(True for _ in plan.of_type("coreflux-mcp-secrets:aws:Redeploy")):
        return 0
    return _tasks(plan) * _count("aws:secretsmanager/secret:Secret")(plan) * POLLS / 10_000


def _insights(plan: Plan) -> float:
    settings = [
        each for one in plan.of_type("aws:ecs/cluster:Cluster") for each in one.properties.get("settings") or ()
    ]
    on = any(one.get("name") == "containerInsights" and one.get("value") != "disabled" for one in settings)
    return INSIGHTS_METRICS if on else 0


def _tick_metrics(plan: Plan) -> float:
    return TICK_METRICS * _count("aws:scheduler/schedule:Schedule")(plan)


def _replicas(resource: str) -> Callable[[Plan], float]:
    """Return `cpu` in vCPU or `memory` in GiB of permanent replicas on Container Apps."""

    def quantity(plan: Plan) -> float:
        found = 0.0
        for one in plan.of_type("azure-native:app:ContainerApp"):
            template = one.properties["template"]
            size = sum(_size(each["resources"][resource]) for each in template["containers"])
            found += size * _whole((template.get("scale") or {}).get("minReplicas"))
        return found

    return quantity


def _ticks(plan: Plan) -> float:
    how = (
        (one.properties.get("configuration") or {}).get("triggerType") for one in plan.of_type("azure-native:app:Job")
    )
    return HOURS * sum(1 for one in how if one == "Schedule")


def _alerts(frequency: str) -> Callable[[Plan], float]:
    rules = "azure-native:monitor:ScheduledQueryRule"
    return lambda plan: sum(one.properties.get("evaluationFrequency") == frequency for one in plan.of_type(rules))


def _ingested(plan: Plan) -> float:
    return LOG_GB * _count("azure-native:operationalinsights:Workspace")(plan)


def _retained(plan: Plan) -> float:
    """Return GB retained beyond the 31 days of the ingestion price."""
    days = (one.properties.get("retentionInDays") for one in plan.of_type("azure-native:operationalinsights:Workspace"))
    return sum(LOG_GB * max(0, _whole(each) - 31) * 24 / HOURS for each in days)


def _polls_of_vault(plan: Plan) -> float:
    """Return tens of thousands: a launcher and an hourly tick for each secret."""
    secrets = plan.manifest.get("secrets")
    vaults = _count("azure-native:keyvault:Vault")(plan)
    return vaults * len(secrets) * (POLLS + HOURS) / 10_000 if isinstance(secrets, list | Mapping) else 0


def _own_networks(plan: Plan) -> float:
    """Return the environments in a subnet of yours.

    Each is billed for a standard load balancer and an egress address; without a subnet neither is billed.
    https://learn.microsoft.com/azure/container-apps/custom-virtual-networks#managed-resources
    """
    environments = plan.of_type("azure-native:app:ManagedEnvironment")
    return sum("vnetConfiguration" in one.properties for one in environments)


def _whole(entry: Any) -> int:
    """Return a number; 1 if it is missing or unknown."""
    return entry if isinstance(entry, int) else 1


def _size(entry: Any) -> float:
    return float(str(entry).removesuffix("Gi"))


def _aws(what: str, usd: float, source: Source, setting: str, quantity: Callable[[Plan], float]) -> Item:
    return Item(cloud="aws", what=what, usd=usd, source=source, setting=setting, quantity=quantity)


def _azure(what: str, usd: float, source: Source, setting: str, quantity: Callable[[Plan], float]) -> Item:
    return Item(cloud="azure-native", what=what, usd=usd, source=source, setting=setting, quantity=quantity)


def _items() -> Iterator[Item]:
    tasks, secrets = "`server.replicas`, `server.architecture`", "`secrets`, `agent`, `issuer`"
    polls = "`server.replicas`, `server.reference`, `secrets`"
    trail, of_keys = "`store.existing_trail`", "`store.kms_key`, `store.replicas`, `store.existing_trail`"
    yield _aws("Fargate, vCPU", 0.04656 * HOURS, _FARGATE, tasks, _fargate("cpu", 1024, "X86_64"))
    yield _aws("Fargate, GB", 0.00511 * HOURS, _FARGATE, tasks, _fargate("memory", 1024, "X86_64"))
    yield _aws("Fargate on ARM64, vCPU", 0.03725 * HOURS, _FARGATE, tasks, _fargate("cpu", 1024, "ARM64"))
    yield _aws("Fargate on ARM64, GB", 0.00409 * HOURS, _FARGATE, tasks, _fargate("memory", 1024, "ARM64"))
    yield _aws("secret", 0.40, _SECRETS, secrets, _count("aws:secretsmanager/secret:Secret"))
    yield _aws("copy of a secret in another region", 0.40, _SECRETS, "`store.replicas`", _replica_secrets)
    yield _aws("10,000 requests of launchers, with KMS", 0.05 + 0.03, _SECRETS, polls, _polls_of_tasks)
    keys = _count("aws:kms/key:Key", "aws:kms/replicaKey:ReplicaKey")
    yield _aws(
        "KMS key; 2.00 from its second year on, 3.00 from its third (yearly rotation)", 1.00, _KMS, of_keys, keys
    )
    yield _aws("CloudWatch alarm", 0.10, _CLOUDWATCH, trail, _count("aws:cloudwatch/metricAlarm:MetricAlarm"))
    yield _aws("CloudWatch metric of the tick", 0.30, _CLOUDWATCH, "none", _tick_metrics)
    yield _aws("CloudWatch metric of Container Insights", 0.30, _CLOUDWATCH, "`server.container_insights`", _insights)
    balancers = _count("aws:lb/loadBalancer:LoadBalancer")
    yield _aws("Application Load Balancer", 0.027 * HOURS, _ELB, "`server.load_balancer`", balancers)

    yield _azure("Container Apps, idle vCPU", 0.000004 * SECONDS, _CONTAINER_APPS, "none", _replicas("cpu"))
    yield _azure("Container Apps, GiB", 0.000004 * SECONDS, _CONTAINER_APPS, "none", _replicas("memory"))
    tick = TICK_SECONDS * (0.25 * 0.000034 + 0.5 * 0.000004)
    yield _azure("tick as a Container Apps job", tick, _CONTAINER_APPS, "none", _ticks)
    yield _azure("log alert, every 5 minutes", 1.50, _MONITOR, "none", _alerts("PT5M"))
    yield _azure("log alert, every 15 minutes", 0.50, _MONITOR, "none", _alerts("PT15M"))
    yield _azure("GB into Log Analytics", 2.99, _MONITOR, "none", _ingested)
    yield _azure("GB kept in Log Analytics after 31 days", 0.13, _MONITOR, "`store.retention_days`", _retained)
    yield _azure("10,000 requests to Key Vault", 0.03, _KEY_VAULT, secrets, _polls_of_vault)
    endpoints = _count("azure-native:network:PrivateEndpoint")
    yield _azure("private endpoint", 0.01 * HOURS, _PRIVATE_LINK, "`store.network.private_endpoint`", endpoints)
    # The load balancer with up to 5 rules, and the address (azure.microsoft.com/pricing/details/ip-addresses/).
    network = (0.025 + 0.005) * HOURS
    yield _azure("load balancer and egress address", network, _BALANCER, "`store.subnet`", _own_networks)


ITEMS = tuple(_items())

BY_USE = (
    ByUse(cloud="aws", what="GB of the account's events into CloudWatch Logs", usd=0.63, source=_CLOUDWATCH),
    ByUse(cloud="aws", what="100,000 events in a second trail of the account", usd=2.00, source=_CLOUDTRAIL),
    ByUse(cloud="azure-native", what="hour of 0.25 vCPU that is not idle", usd=0.25 * 0.1224, source=_CONTAINER_APPS),
    ByUse(cloud="azure-native", what="series that an alert tells apart while it fires", usd=0.15, source=_MONITOR),
)

# Types with a price: each is in a quantity above.
_PRICED = (
    *("aws:ecs/", "aws:secretsmanager/", "aws:kms/", "aws:cloudwatch/metricAlarm", "aws:scheduler/", "aws:lb/"),
    *("azure-native:app:", "azure-native:monitor:ScheduledQueryRule", "azure-native:operationalinsights:"),
    *("azure-native:keyvault:", "azure-native:network:PrivateEndpoint"),
)
# Types that cost nothing, or cents for their requests, while the stack is at rest.
_FREE = (
    *("aws:iam/", "aws:lambda/", "aws:sqs/", "aws:sns/", "aws:s3/", "aws:dynamodb/", "aws:cloudtrail/trail:"),
    *("aws:cloudwatch/event", "aws:cloudwatch/log", "aws:ec2/securityGroup"),
    *("azure-native:authorization:", "azure-native:managedidentity:", "azure-native:resources:"),
    *("azure-native:storage:", "azure-native:eventgrid:", "azure-native:monitor:", "azure-native:network:"),
)
