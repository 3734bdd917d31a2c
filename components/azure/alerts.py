"""What should not happen, looked for in the workspace and in the activity log, and told to an action group."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_azure_native import monitor

from secretops.manifest import Secret

from ..core.planned import planned
from . import queries
from .principals import AzurePlace

LATE = "PT30M"
"""How far an alert looks back: Key Vault's log is ten minutes late at most (Azure, Key Vault logging), and Log
Analytics takes some more to show it. An alert that is on is not told again."""

# The rotator prints the same findings each hour: with a window of two ticks an alert stays active, and rings once.
TWO_TICKS = "PT2H"

# For what an hourly tick prints. A rule costs a third of one that is evaluated every five minutes
# (https://azure.microsoft.com/pricing/details/monitor/).
SELDOM = "PT15M"

TO_READ = (
    "Microsoft.Authorization/roleAssignments/write",
    "Microsoft.Authorization/roleAssignments/delete",
    "Microsoft.KeyVault/vaults/write",
    "Microsoft.KeyVault/vaults/delete",
    "Microsoft.KeyVault/vaults/secrets/write",  # a value, by Azure Resource Manager and without a role on the vault
    "Microsoft.Storage/storageAccounts/write",  # the networks and keys of the lease, without which nothing rotates
    "Microsoft.Storage/storageAccounts/delete",
    "Microsoft.App/jobs/write",
    "Microsoft.App/jobs/start/action",  # with an image and a command of the caller's, as the rotator
    "Microsoft.App/jobs/getAuthToken/action",
    "Microsoft.App/containerApps/write",
    "Microsoft.App/containerApps/getAuthToken/action",
    "Microsoft.App/managedEnvironments/getAuthToken/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/assign/action",
    "Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials/write",
)
"""Operations by which somebody gets at secrets: by a role, or by becoming who is declared to read. A getAuthToken is a
shell in a container. Names are Azure's (tests/unit/azure_tables.json); that each is logged for an alert is not
proven."""

FROM_THE_TRAIL = (
    "Microsoft.Insights/diagnosticSettings/write",
    "Microsoft.Insights/diagnosticSettings/delete",
    "Microsoft.OperationalInsights/workspaces/write",
    "Microsoft.OperationalInsights/workspaces/delete",
    "Microsoft.OperationalInsights/workspaces/purge/action",
    "Microsoft.OperationalInsights/workspaces/tables/write",  # a table's own retention
    "Microsoft.OperationalInsights/workspaces/tables/deleteData/action",  # rows of one, and no purge
    "Microsoft.App/managedEnvironments/write",  # where its console goes: the ticks' alerts look there
    "Microsoft.Insights/scheduledQueryRules/write",
    "Microsoft.Insights/scheduledQueryRules/delete",
    "Microsoft.Insights/scheduledQueryRules/disable/action",  # by Azure: its query has failed for a week
    "Microsoft.Insights/activityLogAlerts/write",
    "Microsoft.Insights/activityLogAlerts/delete",
    "Microsoft.Insights/actionGroups/write",
    "Microsoft.Insights/actionGroups/delete",
    "Microsoft.AlertsManagement/actionRules/write",  # an alert processing rule: it silences action groups
)
"""Operations by which somebody gets out of the trail, or keeps it from telling."""

ACCESS_CHANGES = (*TO_READ, *FROM_THE_TRAIL)
"""All of them that Contributor on the resource group may, but for role assignments; so who has that may read all."""


class Alerts:
    """Makes the alerts of one stack, below `parent`."""

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
        called = self._names.plain("told")
        group = monitor.ActionGroup(
            f"{name}-told",
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
        """Reads that nobody declared, reads that were denied: an alert for each reader and secret."""
        undeclared = pulumi.Output.all(vault, readers).apply(lambda known: queries.undeclared_read(*known))
        by = ("Who", "Secret")
        self._rule("undeclared-read", 1, "somebody read a secret who is not declared to", undeclared, by)
        self._rule("denied-read", 2, "somebody was denied a read of a secret", vault.apply(queries.denied_read), by)

    def of_secrets(self, vault: pulumi.Output[str], secrets: Sequence[Secret], job: str) -> None:
        """Alert on secrets that are deleted, near their expiry with nobody to rotate them, or past it."""
        supplied = [secret.name for secret in secrets if not secret.is_made]
        everything = [secret.name for secret in secrets]
        by = ("Secret",)
        self._rule(
            "deletion", 1, "a secret was deleted or purged, or the vault deleted", vault.apply(queries.deletion), by
        )
        self._rule(
            "near-expiry",
            3,
            "a secret or a certificate expires soon, and a person has to renew it",
            vault.apply(lambda known: queries.near_expiry(known, supplied, job)),
            by,
            window=TWO_TICKS,
            every=SELDOM,
        )
        self._rule(
            "expired",
            1,
            "a secret is past the day that it was due",
            vault.apply(lambda known: queries.expired(known, everything, job)),
            by,
            window=TWO_TICKS,
            every=SELDOM,
        )

    def of_ticks(self, job: str) -> None:
        """Alert on a tick's failures, and on its silence."""
        failed, silent = queries.tick_failed(job), queries.tick_lines(job)
        self._rule("tick-failed", 2, "the tick could not look after a secret: its log says why", failed, every=SELDOM)
        self._rule("tick-missing", 1, "the hourly tick does not run", silent, window="PT3H", every=SELDOM, none=True)

    def of_access(self) -> None:
        """Who may read, and what is recorded and told, was changed. `pulumi up` does so too."""
        monitor.ActivityLogAlert(
            f"{self._name}-alert-access-change",
            activity_log_alert_name=self._names.plain("access"),
            description="somebody may have become a reader, or left the trail; pulumi up and a job's start ring, too",
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
        told: str,
        query: pulumi.Input[str],
        by: Sequence[str] = (),
        *,
        window: str = LATE,
        every: str = "PT5M",
        none: bool = False,
    ) -> None:
        """Tell once what `query` finds, and again once it was over; or that it finds nothing, where `none`."""
        monitor.ScheduledQueryRule(
            f"{self._name}-alert-{what}",
            rule_name=self._names.plain(what),
            display_name=f"coreflux-mcp {self._names.stack}: {told}",
            description=told,
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
            skip_query_validation=True,  # its tables are there from their first row on
            criteria=monitor.ScheduledQueryRuleCriteriaArgs(
                all_of=[
                    monitor.ConditionArgs(
                        query=query,
                        time_aggregation=monitor.TimeAggregation.COUNT,
                        # Words of the API; the SDK's enum has another API's (docs/adr/0009).
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
