from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from policies.cost import HOURS, POLLS, SECONDS, ByUse, Item, PriceList, Source, count, whole
from policies.plan import Plan

# A tick on Azure: 30 s of 0.25 vCPU and 0.5 GiB, at the active rate.
TICK_SECONDS = 30
# Log Analytics rows of an idle stack per month: about 50,000 of 2 KB, for requests of launcher and ticks.
LOG_GB = 0.1

_CONTAINER_APPS = Source("https://azure.microsoft.com/pricing/details/container-apps/", "2026-09-10")
_MONITOR = Source("https://azure.microsoft.com/pricing/details/monitor/", "2026-08-02")
_KEY_VAULT = Source("https://azure.microsoft.com/pricing/details/key-vault/", "2026-08-02")
_PRIVATE_LINK = Source("https://azure.microsoft.com/pricing/details/private-link/", "undated")
_BALANCER = Source("https://azure.microsoft.com/pricing/details/load-balancer/", "undated")


def _replicas(resource: str) -> Callable[[Plan], float]:
    def quantity(plan: Plan) -> float:
        found = 0.0
        for one in plan.of_type("azure-native:app:ContainerApp"):
            template = one.properties["template"]
            size = sum(_size(each["resources"][resource]) for each in template["containers"])
            found += size * whole((template.get("scale") or {}).get("minReplicas"))
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
    return LOG_GB * count("azure-native:operationalinsights:Workspace")(plan)


def _retained(plan: Plan) -> float:
    days = (one.properties.get("retentionInDays") for one in plan.of_type("azure-native:operationalinsights:Workspace"))
    return sum(LOG_GB * max(0, whole(each) - 31) * 24 / HOURS for each in days)


def _polls_of_vault(plan: Plan) -> float:
    secrets = plan.manifest.get("secrets")
    vaults = count("azure-native:keyvault:Vault")(plan)
    return vaults * len(secrets) * (POLLS + HOURS) / 10_000 if isinstance(secrets, list | Mapping) else 0


def _own_networks(plan: Plan) -> float:
    """Count environments in subnets of your own.

    Each one is billed for a standard load balancer and an egress address. Without a subnet, both are free.

    https://learn.microsoft.com/azure/container-apps/custom-virtual-networks#managed-resources
    """
    environments = plan.of_type("azure-native:app:ManagedEnvironment")
    return sum("vnetConfiguration" in one.properties for one in environments)


def _size(entry: Any) -> float:
    return float(str(entry).removesuffix("Gi"))


def _items() -> Iterator[Item]:
    yield Item("Container Apps, idle vCPU", 0.000004 * SECONDS, _CONTAINER_APPS, "none", _replicas("cpu"))
    yield Item("Container Apps, GiB", 0.000004 * SECONDS, _CONTAINER_APPS, "none", _replicas("memory"))
    tick = TICK_SECONDS * (0.25 * 0.000034 + 0.5 * 0.000004)
    yield Item("tick as a Container Apps job", tick, _CONTAINER_APPS, "none", _ticks)
    yield Item("log alert, every 5 minutes", 1.50, _MONITOR, "none", _alerts("PT5M"))
    yield Item("log alert, every 15 minutes", 0.50, _MONITOR, "none", _alerts("PT15M"))
    yield Item("GB into Log Analytics", 2.99, _MONITOR, "none", _ingested)
    yield Item("GB kept in Log Analytics after 31 days", 0.13, _MONITOR, "`store.retention_days`", _retained)
    yield Item("10,000 requests to Key Vault", 0.03, _KEY_VAULT, "`secrets`, `agent`, `issuer`", _polls_of_vault)
    endpoints = count("azure-native:network:PrivateEndpoint")
    yield Item("private endpoint", 0.01 * HOURS, _PRIVATE_LINK, "`store.network.private_endpoint`", endpoints)
    # The load balancer with up to 5 rules, and the address (azure.microsoft.com/pricing/details/ip-addresses/).
    network = (0.025 + 0.005) * HOURS
    yield Item("load balancer and egress address", network, _BALANCER, "`store.subnet`", _own_networks)


PRICES = (
    PriceList(
        package="azure-native",
        region="westeurope",
        items=tuple(_items()),
        by_use=(
            ByUse(what="hour of 0.25 vCPU that is not idle", usd=0.25 * 0.1224, source=_CONTAINER_APPS),
            ByUse(what="time series of an alert while it fires", usd=0.15, source=_MONITOR),
        ),
        priced=(
            *("azure-native:app:", "azure-native:monitor:ScheduledQueryRule", "azure-native:operationalinsights:"),
            *("azure-native:keyvault:", "azure-native:network:PrivateEndpoint"),
        ),
        free=(
            *("azure-native:authorization:", "azure-native:managedidentity:", "azure-native:resources:"),
            *("azure-native:storage:", "azure-native:eventgrid:", "azure-native:monitor:", "azure-native:network:"),
        ),
    ),
)
