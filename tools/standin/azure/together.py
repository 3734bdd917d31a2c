"""Rules of Azure that concern several properties."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tools.standin.azure import roles
from tools.standin.azure.identities import DIAGNOSTICS, ROLE_ASSIGNMENT, VAULT
from tools.standin.forms import found
from tools.standin.problems import MISSING, Problem
from tools.standin.wire import has_unknown, is_unknown

Inputs = Mapping[str, Any]

# Cores of a container in the consumption profile; it has 2 Gi of memory per core (Container Apps, containers).
LARGEST_CPU = 4.0


RETENTION = "properties.softDeleteRetentionInDays"


def problems(kind: str, inputs: Inputs) -> Iterator[Problem]:
    if rule := _RULES.get(kind):
        yield from rule(inputs)


def unchangeable(kind: str, before: Inputs, inputs: Inputs) -> str | None:
    """Return why Azure can't make the change, and the remedy; None if it can."""
    days = [next((one for _, one in found(given, RETENTION)), None) for given in (before, inputs)]
    if kind == VAULT and None not in days and days[0] != days[1]:
        return (
            f"{RETENTION}: {days[1]}; an existing vault must keep {days[0]} (Azure, Key Vault soft-delete); restore "
            "the old value, or increase store.generation for a new vault"
        )
    return None


def _vault(inputs: Inputs) -> Iterator[Problem]:
    # Vaults - Create Or Update.
    given = inputs.get("properties")
    if isinstance(given, Mapping) and not given.get("enableRbacAuthorization") and given.get("accessPolicies") is None:
        at = "properties.accessPolicies"
        yield Problem(at, MISSING, "a vault must use roles or access policies", "set enable_rbac_authorization=True")


def _assignment(inputs: Inputs) -> Iterator[Problem]:
    role, scope = str(inputs.get("roleDefinitionId", "")), str(inputs.get("scope", ""))
    if not has_unknown([role, scope]) and (wrong := roles.misplaced(role, scope)):
        yield Problem("scope", scope, *wrong)


def _diagnostics(inputs: Inputs) -> Iterator[Problem]:
    # Diagnostic Settings - Create Or Update.
    places = ("workspaceId", "storageAccountId", "eventHubAuthorizationRuleId", "marketplacePartnerId")
    if all(inputs.get(place) is None for place in places):
        yield Problem("workspaceId", MISSING, "a diagnostic setting must have a destination", "add workspace_id")
    if not inputs.get("logs") and not inputs.get("metrics"):
        yield Problem("logs", MISSING, "a diagnostic setting must send logs or metrics", "add logs")
    for at, log in found(inputs, "logs[]"):
        if isinstance(log, Mapping) and (log.get("category") is None) == (log.get("categoryGroup") is None):
            yield Problem(at, log, "exactly one of category and category_group must be set", "set one")


def _query_rule(inputs: Inputs) -> Iterator[Problem]:
    # Scheduled Query Rules - Create Or Update.
    for name, remedy in (("scopes", "add the workspace's id"), ("criteria", "add all_of with a condition")):
        if not inputs.get(name):
            yield Problem(name, inputs.get(name, MISSING), f"an alert must have {name}", remedy)
    for at, condition in found(inputs, "criteria.allOf[]"):
        if not isinstance(condition, Mapping):
            continue
        for name in ("query", "timeAggregation", "operator", "threshold"):
            if condition.get(name) is None:
                yield Problem(f"{at}.{name}", MISSING, f"a condition on a log must have {name}", f"add {name}")
        periods = condition.get("failingPeriods")
        if isinstance(periods, Mapping):
            least, of = periods.get("minFailingPeriodsToAlert"), periods.get("numberOfEvaluationPeriods")
            if isinstance(least, int) and isinstance(of, int) and least > of:
                place = f"{at}.failingPeriods.minFailingPeriodsToAlert"
                yield Problem(place, least, f"at most {of} of {of} periods can fail", f"write {of} or less")


def _federation(inputs: Inputs) -> Iterator[Problem]:
    # Entra, workload identity federation.
    audiences = inputs.get("audiences")
    if isinstance(audiences, list) and len(audiences) != 1:
        yield Problem(
            "audiences", audiences, "a federated credential must have one audience", "write api://AzureADTokenExchange"
        )


def _job(inputs: Inputs) -> Iterator[Problem]:
    # Jobs - Create Or Update.
    about = inputs.get("configuration")
    configuration: Mapping[str, Any] = about if isinstance(about, Mapping) else {}
    own = {"Schedule": "scheduleTriggerConfig", "Event": "eventTriggerConfig", "Manual": "manualTriggerConfig"}
    wanted = own.get(str(configuration.get("triggerType")))
    for name in own.values():
        at, given = f"configuration.{name}", configuration.get(name)
        if name == wanted and given is None and name != "manualTriggerConfig":
            yield Problem(at, MISSING, f"a job of this trigger type requires {name}", f"add {name}")
        elif wanted and name != wanted and given is not None:
            yield Problem(
                at,
                given,
                f"a job with trigger type {configuration['triggerType']} must not have {name}",
                f"remove {name}",
            )
    yield from _containers(inputs)


def _app(inputs: Inputs) -> Iterator[Problem]:
    scale = next((one for _, one in found(inputs, "template.scale")), None)
    if isinstance(scale, Mapping):
        least, most = scale.get("minReplicas"), scale.get("maxReplicas")
        if isinstance(least, int) and isinstance(most, int) and least > most:
            yield Problem(
                "template.scale.minReplicas", least, "minReplicas must be at most maxReplicas", f"write {most} or less"
            )
    yield from _containers(inputs)


def _containers(inputs: Inputs) -> Iterator[Problem]:
    if not any(True for _ in found(inputs, "template.containers[]")) and not is_unknown(inputs.get("template")):
        yield Problem("template.containers", MISSING, "a template must have a container", "add a container")
    volumes = {one for _, one in found(inputs, "template.volumes[].name")}
    for which in ("containers", "initContainers"):
        for at, container in found(inputs, f"template.{which}[]"):
            if isinstance(container, Mapping):
                yield from _container(container, at, volumes)
    secrets = {one for _, one in found(inputs, "configuration.secrets[].name")}
    for at, name in found(inputs, "template.containers[].env[].secretRef"):
        if name not in secrets and not is_unknown(name):
            yield Problem(at, name, "the configuration has no secret of this name", "add the secret, or set value")
    for path in ("configuration.registries[]", "configuration.identitySettings[]"):
        for at, one in found(inputs, path):
            if isinstance(one, Mapping):
                yield from _is_its_own(inputs, one.get("identity"), f"{at}.identity")


def _container(container: Mapping[str, Any], at: str, volumes: set[Any]) -> Iterator[Problem]:
    for name in ("name", "image"):
        if not container.get(name):
            yield Problem(f"{at}.{name}", MISSING, f"a container must have {name}", f"add {name}")
    for place, mount in found(container, "volumeMounts[].volumeName", ""):
        if mount not in volumes and not is_unknown(mount):
            yield Problem(
                f"{at}.{place}", mount, "the template has no volume of this name", "name a volume of the template"
            )
    for place, variable in found(container, "env[]", ""):
        if isinstance(variable, Mapping) and not variable.get("name"):
            yield Problem(f"{at}.{place}.name", MISSING, "a variable must have a name", "add name")
    resources = container.get("resources")
    if isinstance(resources, Mapping):
        cpu, memory = resources.get("cpu"), resources.get("memory")
        if isinstance(cpu, int | float) and isinstance(memory, str) and not is_unknown(memory):
            yield from _size(float(cpu), memory, f"{at}.resources")


def _size(cpu: float, memory: str, at: str) -> Iterator[Problem]:
    if not 0 < cpu <= LARGEST_CPU or (cpu * 4) % 1:
        yield Problem(
            f"{at}.cpu", cpu, "Container Apps accepts 0.25 to 4 cores in steps of 0.25", "write such a number"
        )
    elif memory.removesuffix("Gi") not in (f"{2 * cpu:g}", f"{2 * cpu:.1f}"):
        yield Problem(f"{at}.memory", memory, f"{cpu:g} cores require {2 * cpu:g}Gi", f"write {2 * cpu:g}Gi")


def _is_its_own(inputs: Inputs, identity: Any, at: str) -> Iterator[Problem]:
    if identity is None or identity == "system" or is_unknown(identity):
        return
    own = [one for _, one in found(inputs, "identity.userAssignedIdentities[]")]
    if not has_unknown(own) and identity not in own:
        yield Problem(at, identity, "the identity must be in user_assigned_identities", "add it there")


_RULES: Mapping[str, Callable[[Inputs], Iterator[Problem]]] = {
    VAULT: _vault,
    ROLE_ASSIGNMENT: _assignment,
    DIAGNOSTICS: _diagnostics,
    "monitor:ScheduledQueryRule": _query_rule,
    "managedidentity:FederatedIdentityCredential": _federation,
    "app:Job": _job,
    "app:ContainerApp": _app,
}
