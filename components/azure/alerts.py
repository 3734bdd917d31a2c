"""Alerts on the workspace and the activity log, which notify an action group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_azure_native import monitor

from secretops.manifest import Secret

from ..core.component import planned
from . import queries
from .principals import AzurePlace

# Window of an alert: Key Vault's log is up to ten minutes late (Azure, Key Vault logging), and Log Analytics adds a few
# minutes. An active alert does not notify again.
LATE = "PT30M"

# Window of an alert on the rotator's findings, which it prints again each hour. With a window of two hours, an alert
# stays active, and notifies once.
TWO_TICKS = "PT2H"

# How often alerts on findings of the hourly tick are evaluated. Such a rule costs a third of a rule that is evaluated
# every five minutes
# (https://azure.microsoft.com/pricing/details/monitor/).
SELDOM = "PT15M"

# Operations that grant access to secrets, by a role or by an identity that may read them. getAuthToken opens a shell in
# a container. Tests check the names (tests/unit/azure_tables.json), but not that Azure logs each operation.
TO_READ = (
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignments/delete",
    "Microsoft.KeyVault/vaults/write",
    "Microsoft.KeyVault/vaults/delete",
    "Microsoft.KeyVault/vaults/secrets/write",  # writes a value without a role on the vault
    "Microsoft.Storage/storageAccounts/write",  # changes networks and keys of the lease's account
    "Microsoft.Storage/storageAccounts/delete",
    "Microsoft.App/jobs/write",
    "Microsoft.App/jobs/start/action",  # runs the caller's image and command with the rotator's identity
    "Microsoft.App/jobs/getAuthToken/action",
    "Microsoft.App/containerApps/write",
    "Microsoft.App/containerApps/getAuthToken/action",
    "Microsoft.App/managedEnvironments/getAuthToken/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
)

# Operations that stop records of the trail, or its alerts.
FROM_THE_TRAIL = (
    "Microsoft.Insights/diagnosticSettings/write",
    "Microsoft.Insights/diagnosticSettings/delete",
    "Microsoft.OperationalInsights/workspaces/write",
    "Microsoft.OperationalInsights/workspaces/delete",
    "Microsoft.OperationalInsights/workspaces/purge/action",
    "Microsoft.OperationalInsights/workspaces/tables/write",  # changes a table's retention
    "Microsoft.OperationalInsights/workspaces/tables/deleteData/action",  # deletes single rows
    "Microsoft.App/managedEnvironments/write",  # changes where console logs go, which alerts on ticks read
    "Microsoft.Insights/scheduledQueryRules/write",
    "Microsoft.Insights/scheduledQueryRules/delete",
    "Microsoft.Insights/scheduledQueryRules/disable/action",  # Azure does this itself after a week of failed queries
    "Microsoft.Insights/activityLogAlerts/write",
    "Microsoft.Insights/activityLogAlerts/delete",
    "Microsoft.Insights/actionGroups/write",
    "Microsoft.Insights/actionGroups/delete",
    "Microsoft.AlertsManagement/actionRules/write",  # adds an alert processing rule, which can silence action groups
)

# A Contributor on the resource group may do all of these except role assignments, and thus get access to all secrets.
ACCESS_CHANGES = (*TO_READ, *FROM_THE_TRAIL)


class Alerts:
    def __init__(
        self,
        *,
        name: str,
        parent: pulumi.ComponentResource,
        place: AzurePlace,
        workspace: pulumi.Input[str],
        emails: Sequence[str],
    ) -> None:
        self._name, self._place, self._names, self._workspace = name, place, place.names, workspace
        self._child = place.under(parent)
        called = self._names.plain("receivers")
        group = monitor.ActionGroup(
            f"{name}-receivers",
            action_group_name=called,
            group_short_name="coreflux-mcp",
            resource_group_name=place.group,
            location="global",
            tags=place.tags,
            enabled=True,
            email_receivers=[
                monitor.MicrosoftCommonEmailReceiverArgs(
                    name=f"email-{at}", email_address=one, use_common_alert_schema=True
                )
                for at, one in enumerate(emails)
            ],
            opts=self._child,
        )
        self._group = planned(group.id, self._names.resource_id(f"Microsoft.Insights/actionGroups/{called}"))

    def of_reads(self, vault: pulumi.Output[str], readers: Mapping[str, Sequence[pulumi.Input[str]]]) -> None:
        undeclared = pulumi.Output.all(vault, readers).apply(lambda known: queries.undeclared_read(*known))
        by = ("Who", "Secret")
        self._rule("undeclared-read", 1, "an undeclared reader read a secret", undeclared, by)
        self._rule("denied-read", 2, "a read of a secret was denied", vault.apply(queries.denied_read), by)

    def of_secrets(self, vault: pulumi.Output[str], secrets: Sequence[Secret], job: str) -> None:
        """Alert when a secret is deleted, is past its expiry, or is near an expiry and an operator must renew it."""
        supplied = [secret.name for secret in secrets if not secret.is_made]
        everything = [secret.name for secret in secrets]
        by = ("Secret",)
        self._rule(
            "deletion", 1, "a secret was deleted or purged, or the vault deleted", vault.apply(queries.deletion), by
        )
        self._rule(
            "near-expiry",
            3,
            "a secret or a certificate expires soon, and an operator has to renew it",
            vault.apply(lambda known: queries.near_expiry(known, supplied, job)),
            by,
            window=TWO_TICKS,
            every=SELDOM,
        )
        self._rule(
            "expired",
            1,
            "a secret is past its due day",
            vault.apply(lambda known: queries.expired(known, everything, job)),
            by,
            window=TWO_TICKS,
            every=SELDOM,
        )

    def of_ticks(self, job: str) -> None:
        failed, silent = queries.tick_failed(job), queries.tick_lines(job)
        self._rule(
            "tick-failed", 2, "the tick failed for a secret: the tick's log has the reason", failed, every=SELDOM
        )
        self._rule("tick-missing", 1, "the hourly tick does not run", silent, window="PT3H", every=SELDOM, none=True)

    def of_access(self) -> None:
        """Alert when access or the trail changes. `pulumi up` raises this alert, too."""
        monitor.ActivityLogAlert(
            f"{self._name}-alert-access-change",
            activity_log_alert_name=self._names.plain("access"),
            description="access to secrets or the trail changed; pulumi up and a job's start also trigger this alert",
            resource_group_name=self._place.group,
            location="global",
            tags=self._place.tags,
            enabled=True,
            scopes=[self._place.group.apply(self._group_id)],
            condition=monitor.AlertRuleAllOfConditionArgs(
                all_of=[
                    monitor.AlertRuleAnyOfOrLeafConditionArgs(field="category", equals="Administrative"),
                    monitor.AlertRuleAnyOfOrLeafConditionArgs(field="status", equals="Succeeded"),
                    monitor.AlertRuleAnyOfOrLeafConditionArgs(
                        any_of=[
                            monitor.AlertRuleLeafConditionArgs(field="operationName", equals=one)
                            for one in ACCESS_CHANGES
                        ]
                    ),
                ]
            ),
            actions=monitor.ActionListArgs(action_groups=[monitor.ActionGroupArgs(action_group_id=self._group)]),
            opts=self._child,
        )

    def _group_id(self, group: str) -> str:
        return f"/subscriptions/{self._names.subscription}/resourceGroups/{group}"

    def _rule(
        self,
        what: str,
        severity: int,
        description: str,
        query: pulumi.Input[str],
        by: Sequence[str] = (),
        *,
        window: str = LATE,
        every: str = "PT5M",
        none: bool = False,
    ) -> None:
        """Declare an alert that is active while `query` finds rows or, with `none`, while it finds no rows. An alert
        notifies again only after it was resolved."""
        monitor.ScheduledQueryRule(
            f"{self._name}-alert-{what}",
            rule_name=self._names.plain(what),
            display_name=f"coreflux-mcp {self._names.stack}: {description}",
            description=description,
            kind=monitor.Kind.LOG_ALERT,
            resource_group_name=self._place.group,
            location=self._place.location,
            tags=self._place.tags,
            enabled=True,
            severity=severity,
            scopes=[self._workspace],
            evaluation_frequency=every,
            window_size=window,
            auto_mitigate=True,
            skip_query_validation=True,  # a workspace's table exists only once it has a row
            criteria=monitor.ScheduledQueryRuleCriteriaArgs(
                all_of=[
                    monitor.ConditionArgs(
                        query=query,
                        time_aggregation=monitor.TimeAggregation.COUNT,
                        # Text, because the SDK's enum is that of another API (docs/adr/0009).
                        operator="LessThan" if none else "GreaterThan",
                        threshold=1 if none else 0,
                        dimensions=[monitor.DimensionArgs(name=one, operator="Include", values=["*"]) for one in by],
                        failing_periods=monitor.ConditionFailingPeriodsArgs(
                            number_of_evaluation_periods=1, min_failing_periods_to_alert=1
                        ),
                    )
                ]
            ),
            actions=monitor.ActionsArgs(action_groups=[self._group]),
            opts=self._child,
        )
