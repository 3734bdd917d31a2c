"""A Log Analytics workspace with the vault's audit log and the rotator's output, and alerts on both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pulumi
from pulumi_azure_native import monitor, operationalinsights

from secretops.manifest import Secret

from ..core.component import Component, planned
from ..core.secret_store import Trail
from . import queries, roles
from .alerts import Alerts
from .identity import AzureArgs


@dataclass(frozen=True, kw_only=True)
class WorkspaceArgs:
    id: pulumi.Input[str]
    customer_id: pulumi.Input[str]
    """Workspace id for queries: az monitor log-analytics workspace show --query customerId."""


@dataclass(frozen=True, kw_only=True)
class TrailOptions:
    operators: Sequence[str]
    """Object ids of users who may put and read values. Groups are not accepted, since the log names users."""
    workspace: WorkspaceArgs | None = None
    """An existing workspace. You set its retention and its readers. By default the component creates a workspace."""
    retention_days: int = 365
    """Retention of a new workspace in days, 30 to 730."""
    alert_emails: Sequence[str] = ()


@dataclass(frozen=True, kw_only=True)
class AzureAccessTrailArgs(AzureArgs, TrailOptions):
    vault: pulumi.Input[str]
    """Resource id of the key vault."""
    secrets: Sequence[Secret]
    readers: Mapping[str, Sequence[pulumi.Input[str]]] = field(default_factory=dict)
    """Object ids of each secret's declared readers. Reads by others raise an alert."""
    rotated: bool = True
    """Whether a missing or failed hourly tick raises an alert."""
    production: bool = True
    """Whether records are protected from deletion."""


class AzureAccessTrail(Component):
    """Workspace, diagnostic settings, alerts with their action group, and the operators' right to read the log."""

    trail: Trail
    """Location of the records, and the query that shows who read which secret."""
    workspace: pulumi.Output[str]
    """The workspace's GUID, for queries."""

    def __init__(self, name: str, args: AzureAccessTrailArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__(
            "coreflux-mcp-secrets:azure:Trail",
            name,
            opts,
            formerly=lambda suffix: "told" if suffix == "receivers" else suffix,
        )
        environment = args.open_environment(name, self)
        place, names = environment.place, environment.place.names
        vault = pulumi.Output.from_input(args.vault)
        workspace: pulumi.Input[str]
        customer_id: pulumi.Input[str]
        if args.workspace:
            workspace, customer_id, shown = args.workspace.id, args.workspace.customer_id, args.workspace.id
        else:
            made = operationalinsights.Workspace(
                f"{name}-workspace",
                workspace_name=names.workspace,
                resource_group_name=place.group,
                location=place.location,
                tags=place.tags,
                sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
                retention_in_days=args.retention_days,
                features=operationalinsights.WorkspaceFeaturesArgs(
                    disable_local_auth=True,  # no agent writes logs, so nothing needs the workspace's key
                    immediate_purge_data_on30_days=False,
                ),
                opts=place.under(self, protect=args.production),
            )
            workspace_id = names.resource_id(f"Microsoft.OperationalInsights/workspaces/{names.workspace}")
            workspace, customer_id, shown = planned(made.id, workspace_id), made.customer_id, names.workspace
        monitor.DiagnosticSetting(
            f"{name}-vault-audit",
            name="audit",
            resource_uri=vault,
            workspace_id=workspace,
            log_analytics_destination_type="Dedicated",
            logs=[monitor.DiagnosticsLogSettingsArgs(category_group="audit", enabled=True)],
            opts=place.under(self, protect=args.production),
        )
        monitor.DiagnosticSetting(
            f"{name}-environment-logs",
            name="logs",
            resource_uri=environment.id,
            workspace_id=workspace,
            logs=[
                monitor.DiagnosticsLogSettingsArgs(category=f"ContainerApp{kind}Logs", enabled=True)
                for kind in ("Console", "System")
            ],
            opts=place.under(self),
        )
        grants = roles.Grants(name=name, parent=self, place=place)
        for operator in (
            () if args.workspace else args.operators
        ):  # on an existing workspace, the role would allow reading all of its logs
            grants.assign(
                f"operator-{operator}-reads-trail",
                roles.LOG_READER,
                operator,
                scope=workspace,
                why="secretops audit queries the trail",
                person=True,
            )
        alerts = Alerts(name=name, parent=self, place=place, workspace=workspace, emails=args.alert_emails)
        alerts.of_reads(vault, args.readers)
        alerts.of_secrets(vault, args.secrets, names.job_id)
        if args.rotated:
            alerts.of_ticks(names.job_id)
        alerts.of_access()
        self.workspace = pulumi.Output.from_input(customer_id)
        self.trail = Trail(
            records=pulumi.Output.concat("the tables AZKVAuditLogs (or AzureDiagnostics) of the workspace ", shown),
            query=vault.apply(queries.who_read_what),
        )
        self.register_outputs({"workspace": workspace})
