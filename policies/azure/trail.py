"""Rules on the trail in Azure: records, retention, alerts and their receivers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from policies.azure.rules import ENVIRONMENT, STORE, VAULT, store_needs
from policies.controls import controls
from policies.matchers import at, between, each, is_set, is_true, judge, listed, not_set, one_of, related, require
from policies.plan import UNKNOWN, Finding, Plan, Resource
from policies.rule import PRODUCTION, Each, Rule, protected, rows

QUERY, ACTIVITY = "azure-native:monitor:ScheduledQueryRule", "azure-native:monitor:ActivityLogAlert"
GROUP = "azure-native:monitor:ActionGroup"
WORKSPACE, SETTING = "azure-native:operationalinsights:Workspace", "azure-native:monitor:DiagnosticSetting"
# Retention in days: Log Analytics' minimum, the minimum of PCI DSS 10.5.1, and Log Analytics' maximum.
SHORT, YEAR, MOST = 30, 365, 730
# Type -> the property with its name, and log categories or groups. Its diagnostic setting must enable at least one.
_LOGS = {
    VAULT: ("vaultName", ("audit", "allLogs", "AuditEvent")),
    ENVIRONMENT: ("environmentName", ("ContainerAppConsoleLogs", "allLogs")),
}
# Tables of the trail -> names that a query must contain. The vault's log has two layouts
# (https://learn.microsoft.com/azure/azure-monitor/reference/tables/azkvauditlogs, …/azurediagnostics,
# …/containerappconsolelogs). Names are case-sensitive in Kusto, and a query with a wrong name finds nothing.
_NAMES = {
    "AZKVAuditLogs|AzureDiagnostics": "AZKVAuditLogs HttpStatusCode CallerIpAddress RequestUri Identity.claim.oid "
    "AzureDiagnostics httpStatusCode_d CallerIPAddress requestUri_s identity_claim_oid_g "
    "eventGridEventProperties_subject_s OperationName TimeGenerated _ResourceId",
    "ContainerAppConsoleLogs": "ContainerAppConsoleLogs ContainerGroupName ContainerName Stream Log _ResourceId",
}
# What an alert reports -> words that its query must contain.
READS = {
    "undeclared reads": ('"SecretGet"', "Status == 200", "!in ("),
    "denied reads": ('"SecretGet"', "Status == 403"),
    "deleted secrets": ('"SecretDelete"', '"SecretPurge"'),
}
FAILURES = {
    "failed ticks": ("ContainerAppConsoleLogs", '"stderr"'),
    "overdue secrets": ("ContainerAppConsoleLogs", '"overdue since"', '"SecretExpiredEventGridNotification"'),
    "secrets that a person has to renew": ("ContainerAppConsoleLogs", '"SecretNearExpiryEventGridNotification"'),
}
# Operations, without the prefix "Microsoft.", that give access to secrets, or disable the trail or its alerts.
_OPERATIONS = """
    App/containerApps/write App/jobs/start/action App/jobs/write App/managedEnvironments/write
    AlertsManagement/actionRules/write Authorization/roleAssignments/delete Authorization/roleAssignments/write
    Insights/actionGroups/delete Insights/actionGroups/write Insights/activityLogAlerts/delete
    Insights/activityLogAlerts/write Insights/diagnosticSettings/delete Insights/diagnosticSettings/write
    Insights/scheduledQueryRules/delete Insights/scheduledQueryRules/write KeyVault/vaults/delete
    KeyVault/vaults/secrets/write KeyVault/vaults/write ManagedIdentity/userAssignedIdentities/assign/action
    ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write OperationalInsights/workspaces/delete
    OperationalInsights/workspaces/purge/action OperationalInsights/workspaces/tables/write
    OperationalInsights/workspaces/write Storage/storageAccounts/delete Storage/storageAccounts/write
"""
OPERATIONS = tuple(f"Microsoft.{one}" for one in _OPERATIONS.split())
# Minutes: the maximum delay of Key Vault's log, ingestion included
# (https://learn.microsoft.com/azure/key-vault/general/logging); the interval of two ticks; the shortest and the longest
# interval of evaluations; the longest window.
DELAY, TWO_TICKS, OFTEN, SELDOM, LONGEST = 15, 120, 5, 60, 360


def _has(query: Any, word: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(word)}(?!\w)", str(query)) is not None


def _minutes(text: Any) -> int:
    found = re.fullmatch(r"PT(?:(\d+)H)?(?:(\d+)M)?", str(text))
    return int(found[1] or 0) * 60 + int(found[2] or 0) if found else 0


def _is_timed(entry: tuple[Any, Any, Any]) -> bool:
    operator, every, window = entry[0], _minutes(entry[1]), _minutes(entry[2])
    least = max(every + DELAY, TWO_TICKS if operator == "LessThan" else 0)
    return OFTEN <= every <= SELDOM and least <= window <= LONGEST


def _timed(alert: Resource) -> Iterator[Finding]:
    times = [at(alert.properties, key) for key in ("evaluationFrequency", "windowSize")]
    for one in each(at(alert.properties, "criteria", "allOf")):
        entry = (at(one, "operator"), *times)
        pair = "PT2H and PT1H" if entry[0] == "LessThan" else "PT30M and PT5M"
        wrong = f"misses late records, or is over 6 hours; set windowSize and evaluationFrequency to {pair}"
        yield from judge(alert, entry, _is_timed, "windowSize", wrong)
        first = (at(one, "operator"), at(one, "threshold"))
        wrong = "does not fire at the first row, or if there is no row; set GreaterThan 0, or LessThan 1"
        yield from judge(alert, first, (("GreaterThan", 0), ("LessThan", 1)).__contains__, "threshold", wrong)


def _reads(query: Any) -> bool:
    needed = [names for tables, names in _NAMES.items() if any(_has(query, table) for table in tables.split("|"))]
    return bool(needed) and all(_has(query, name) for names in needed for name in names.split())


def _unfiltered(alert: Resource) -> Iterator[Finding]:
    conditions = at(alert.properties, "condition", "allOf")
    leaves = {at(one, "field"): at(one, "equals") for one in listed(conditions) if at(one, "field")}
    all_of = {"category": "Administrative", "status": "Succeeded"}
    wrong = "filters operations out; set category Administrative and status Succeeded, and nothing else"
    yield from judge(alert, UNKNOWN if conditions is UNKNOWN else leaves, all_of.__eq__, "condition.allOf", wrong)


def _active(plan: Plan, kind: str, key: str) -> Iterator[Any]:
    for alert in plan.of_type(kind):
        groups = at(alert.properties, "actions", "actionGroups")
        if at(alert.properties, "enabled") is not False and groups not in (None, []):
            yield from each(at(alert.properties, key, "allOf"))


def _queries(plan: Plan, queries: dict[str, tuple[str, ...]], operator: str = "GreaterThan") -> Iterator[Finding]:
    pairs = [(at(one, "query"), at(one, "operator")) for one in _active(plan, QUERY, "criteria")]
    known = [query for query, by in pairs if query is not UNKNOWN and by == operator]
    missing = [
        what for what, words in queries.items() if not any(all(_has(one, word) for word in words) for one in known)
    ]
    # An alert whose query is unknown yet may be one of the missing ones.
    entry = UNKNOWN if 0 < len(missing) <= sum(UNKNOWN in pair for pair in pairs) else missing
    for store in plan.of_type(STORE):
        wrong = "is missing; add an alert with an action group"
        yield from judge(store, entry, not_set, f"an alert on {' or '.join(missing)}", wrong)


def _failures(plan: Plan) -> Iterator[Finding]:
    yield from _queries(plan, FAILURES)
    yield from _queries(plan, {"missing ticks": ("ContainerAppConsoleLogs",)}, operator="LessThan")


def _tampering(plan: Plan) -> Iterator[Finding]:
    alerted = {at(leaf, "equals") for one in _active(plan, ACTIVITY, "condition") for leaf in each(at(one, "anyOf"))}
    for store in plan.of_type(STORE):
        missing = [one for one in OPERATIONS if one not in alerted]
        wrong = f"leave out {', '.join(missing)}; add these operations to an alert that has an action group"
        yield from judge(store, UNKNOWN if missing and UNKNOWN in alerted else missing, not_set, "its alerts", wrong)


def _includes(wanted: tuple[str, ...], logs: Any) -> bool:
    return any(
        at(log, "enabled") is True and (at(log, "categoryGroup") in wanted or at(log, "category") in wanted)
        for log in listed(logs)
    )


def _unrecorded(plan: Plan) -> Iterator[Finding]:
    yield from store_needs(VAULT, "vault", "no log records who reads a value; add a Vault")(plan)
    for kind, (key, wanted) in _LOGS.items():
        for one in plan.of_type(kind):
            name = at(one.properties, key)
            settings = related(plan, SETTING, "resourceUri", ok=lambda uri: str(uri).endswith(f"/{name}"))  # noqa: B023
            found = UNKNOWN if name is UNKNOWN else settings
            yield from require(
                one, found, "diagnostic setting", "no workspace receives the log; add a DiagnosticSetting"
            )
            for setting in listed(found):
                wrong = f"have none of {', '.join(wanted)}: no alert finds what happens; enable one of these"
                yield from judge(setting, at(setting.properties, "logs"), partial(_includes, wanted), "logs", wrong)


def _is_of_trail(setting: Resource) -> bool:
    return "audit" in [
        at(log, key) for log in each(setting.properties.get("logs")) for key in ("categoryGroup", "category")
    ]


HOLDS = (protected(WORKSPACE), protected(SETTING, only=_is_of_trail))

RULES = (
    Rule(
        name="azure-alerts-fire",
        sentence="Every alert is on, reads the trail's tables, fires at the first event, and notifies an action group.",
        controls=controls("CC7.2 10.4.1.1 10.7.2 164.312(b)", "failures and anomalies are reported in time"),
        later="the query of undeclared reads lists object ids that Entra has not created yet",
        limitation="The rule does not prove that Azure fires the alert or that somebody reads it. No test used a real "
        "account.",
        checks=(
            *rows((QUERY, ACTIVITY, GROUP), ("enabled", is_true, "is not true: nobody is notified; set true")),
            *rows(
                (QUERY, ACTIVITY),
                ("actions.actionGroups", is_set, "is empty: nobody is notified; name an action group"),
            ),
            *rows(
                QUERY,
                ("scopes[]", lambda uri: "/workspaces/" in str(uri), "is not a workspace; name the trail's workspace"),
                ("muteActionsDuration", not_set, "mutes notifications; remove it"),
                (
                    "criteria.allOf",
                    lambda every: len(listed(every)) == 1,
                    "is not exactly one criterion; write one alert for each criterion",
                ),
                ("criteria.allOf[].timeAggregation", one_of("Count"), "does not count rows; set Count"),
                (
                    "criteria.allOf[].failingPeriods.minFailingPeriodsToAlert",
                    one_of(1),
                    "is not 1: the alert waits; set 1",
                ),
                (
                    "criteria.allOf[].query",
                    _reads,
                    "lacks a table or column of the trail; correct the query (components/azure/queries.py)",
                ),
            ),
            Each(QUERY, _timed),
            Each(ACTIVITY, _unfiltered),
        ),
    ),
    Rule(
        name="azure-reads-alerted",
        sentence="Alerts report undeclared reads, denied reads and deleted secrets.",
        controls=controls("CC7.2 10.2.1.4 10.4.1.1 164.312(b) 32(1)(d)", "undeclared and denied reads are found"),
        later="the query of undeclared reads lists object ids that Entra has not created yet",
        limitation="The rule does not prove that somebody is notified: an action group without alert_emails has no "
        "receiver.",
        across=lambda plan: _queries(plan, READS),
        types=(STORE,),
    ),
    Rule(
        name="azure-rotation-failures-alerted",
        sentence="Alerts report failed ticks, missing ticks and overdue secrets.",
        controls=controls("CC7.2 8.6.3 10.7.2 164.312(b) 32(1)(d)", "an overdue password is reported"),
        limitation="The rule does not prove that somebody is notified: an action group without alert_emails has no "
        "receiver.",
        across=_failures,
        types=(STORE,),
    ),
    Rule(
        name="azure-tampering-alerted",
        sentence="Alerts report changes of roles, the vault, identities, the trail and the alerts.",
        controls=controls(
            "CC7.1 CC7.2 10.2.1.6 10.3.4 10.7.2 164.312(b) 164.312(c)(1)", "a change that weakens the stack is reported"
        ),
        limitation="Changes above the stack's resource group are not reported. That Azure logs each change was not "
        "proven in an account.",
        across=_tampering,
        types=(STORE,),
    ),
    Rule(
        name="azure-reads-recorded",
        sentence="A workspace receives the vault's audit log and the environment's console log.",
        controls=controls(
            "CC7.2 10.2.1 10.2.1.5 10.2.2 164.312(b) 32(1)(d)", "reads and changes of secrets are recorded"
        ),
        limitation="The rule does not prove that no record is lost: Azure guarantees no delivery of logs.",
        checks=rows(
            SETTING,
            ("workspaceId", is_set, "is missing: no alert finds a read; name the trail's workspace"),
            ("logs[].enabled", is_true, "is off: the category is not recorded; enable it"),
        ),
        across=_unrecorded,
        types=(STORE, VAULT),
    ),
    Rule(
        name="azure-trail-retained",
        sentence="In production the workspace retains records for 365 days; no shared key can write records.",
        controls=controls("CC7.3 10.3.2 10.5.1 164.312(b)", "events of the last year can be evaluated"),
        limitation="The rule does not check the retention of an organization's own workspace (store.workspace), or "
        "purges by its managers.",
        checks=(
            *rows(
                WORKSPACE,
                (
                    "retentionInDays",
                    between(SHORT, MOST),
                    f"is not from {SHORT} to {MOST} days; set store.retention_days",
                ),
                ("features.immediatePurgeDataOn30Days", not_set, "deletes records after 30 days; set false"),
                ("features.disableLocalAuth", is_true, "is not true: a key can write false records; set true"),
            ),
            *rows(
                WORKSPACE,
                (
                    "retentionInDays",
                    between(YEAR, MOST),
                    f"is not from {YEAR} to {MOST} days; set store.retention_days",
                ),
                environments=PRODUCTION,
            ),
        ),
    ),
)
