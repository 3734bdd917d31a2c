"""The Azure store's trail: the vault's audit log in a workspace, and what the rotator says beside it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pulumi
from pulumi_azure_native import monitor, operationalinsights

from secretops.manifest import Secret

from ..core.component import Component
from ..core.planned import planned
from ..core.secret_store import Trail
from . import queries, roles
from .alerts import Alerts
from .context import AzureContext


class AzureTrail(Component):
    """Owns the workspace, what is sent to it, who may read it, the alerts and whom they tell; never a value."""

    trail: Trail
    workspace: pulumi.Output[str]
    """Its id as a query names it, a GUID."""

    def __init__(
        self,
        name: str,
        *,
        context: AzureContext,
        vault: pulumi.Output[str],
        secrets: Sequence[Secret],
        readers: Mapping[str, Sequence[pulumi.Input[str]]],
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:azure:Trail", name, opts)
        store, names, place = context.settings, context.names, context.place
        workspace: pulumi.Input[str]
        customer_id: pulumi.Input[str]
        if store.workspace:
            workspace, customer_id, shown = store.workspace.id, store.workspace.customer_id, store.workspace.id
        else:
            made = self._workspace(context)
            workspace_id = names.resource_id(f"Microsoft.OperationalInsights/workspaces/{names.workspace}")
            workspace, customer_id, shown = planned(made.id, workspace_id), made.customer_id, names.workspace
        monitor.DiagnosticSetting(
            "vault-audit",
            name="audit",
            resource_uri=vault,
            workspace_id=workspace,
            log_analytics_destination_type="Dedicated",
            logs=[monitor.DiagnosticsLogSettingsArgs(category_group="audit", enabled=True)],
            opts=place.under(self, protect=context.production),
        )
        monitor.DiagnosticSetting(
            "environment-logs",
            name="logs",
            resource_uri=context.environment.id,
            workspace_id=workspace,
            logs=[
                monitor.DiagnosticsLogSettingsArgs(category=f"ContainerApp{kind}Logs", enabled=True)
                for kind in ("Console", "System")
            ],
            opts=place.under(self),
        )
        grants = roles.Grants(parent=self, place=place)
        for operator in () if store.workspace else store.operators:  # who could read all logs of your workspace
            grants.to_operator(
                f"operator-{operator}-reads-trail",
                roles.LOG_READER,
                operator,
                scope=workspace,
                why="secretops audit asks the trail who read what",
            )
        alerts = Alerts(parent=self, context=context, workspace=workspace)
        alerts.of_reads(vault, readers)
        alerts.of_secrets(vault, secrets, names.job_id)
        alerts.of_ticks(names.job_id)
        alerts.of_access()
        self.workspace = pulumi.Output.from_input(customer_id)
        self.trail = Trail(
            records=f"the tables AZKVAuditLogs (or AzureDiagnostics) of the workspace {shown}",
            query=queries.who_read_what(names.vault_id),
        )
        self.register_outputs({"workspace": workspace})

    def _workspace(self, context: AzureContext) -> operationalinsights.Workspace:
        names, place = context.names, context.place
        return operationalinsights.Workspace(
            "workspace",
            workspace_name=names.workspace,
            resource_group_name=place.group,
            location=place.location,
            tags=place.tags,
            sku=operationalinsights.WorkspaceSkuArgs(name=operationalinsights.WorkspaceSkuNameEnum.PER_GB2018),
            retention_in_days=context.settings.retention_days,
            features=operationalinsights.WorkspaceFeaturesArgs(
                disable_local_auth=True,  # no agent writes here by the workspace's key
                immediate_purge_data_on30_days=False,
            ),
            opts=place.under(self, protect=context.production),
        )
