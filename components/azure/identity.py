"""Where everything of the stack lies on Azure, and the identities of its containers."""

from __future__ import annotations

import pulumi
import pulumi_azure_native as azure

from ..core.component import Component
from ..core.naming import PROJECT
from ..core.planned import planned
from . import roles
from .names import names_of
from .principals import AzureEnvironment, AzureIdentity, AzurePlace, ContainerApp
from .settings import AzureStore


class AzureIdentities(Component):
    """The provider of the one subscription that the stack file names, a resource group, and a Container Apps
    environment, in which the rotator runs wherever the server does. Owns no right to a secret."""

    place: AzurePlace
    environment: AzureEnvironment

    def __init__(self, name: str, *, store: AzureStore, stack: str, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:azure:Identity", name, opts)
        self._names = names_of(store, stack)
        provider = azure.Provider(
            "azure",
            subscription_id=store.subscription,
            tenant_id=store.tenant,
            location=store.location,
            opts=pulumi.ResourceOptions(parent=self),
        )
        child = pulumi.ResourceOptions(parent=self, provider=provider)
        tags = {**store.tags, "project": PROJECT, "stack": stack}
        group: pulumi.Output[str]
        if store.resource_group:
            group = pulumi.Output.from_input(store.resource_group)
        else:
            made_group = azure.resources.ResourceGroup(
                "group", resource_group_name=self._names.group, location=store.location, tags=tags, opts=child
            )
            group = planned(made_group.name, self._names.group)
        self.place = AzurePlace(
            subscription=store.subscription,
            tenant=store.tenant,
            location=store.location,
            group=group,
            tags=tags,
            provider=provider,
        )
        platform = user_assigned("platform-identity", self._names.plain("platform"), self.place, self)
        environment = self._names.plain("environment")
        made = azure.app.ManagedEnvironment(
            "environment",
            environment_name=environment,
            resource_group_name=group,
            location=store.location,
            tags=tags,
            # Through a diagnostic setting (access_log.py): a workspace named here wants its shared key, a secret.
            app_logs_configuration={"destination": "azure-monitor"},
            vnet_configuration={"infrastructure_subnet_id": store.subnet, "internal": True} if store.subnet else None,
            zone_redundant=store.zone_redundant or None,
            workload_profiles=[{"name": "Consumption", "workload_profile_type": "Consumption"}],
            peer_traffic_configuration={"encryption": {"enabled": True}},  # MCP's bearer token passes between nodes
            # Azure takes minutes to believe in a new role, and a container that can't be pulled by then is given up.
            # They pass while the environment is made, and whatever runs in it comes after it.
            opts=self.place.under(self, after=_let_pull(self, store, self.place, platform)),
        )
        self.environment = AzureEnvironment(
            id=planned(made.id, self._names.resource_id(f"Microsoft.App/managedEnvironments/{environment}")),
            domain=made.default_domain,
            platform=platform,
        )
        self.register_outputs({"subscription": store.subscription})

    def sync(self, issuer: pulumi.Input[str], service_account: str) -> AzureIdentity:
        """The identity of a cluster's service account, for whose tokens `issuer` vouches (Azure, workload identity)."""
        physical = self._names.plain("sync")
        made = user_assigned("sync-identity", physical, self.place, self)
        azure.managedidentity.FederatedIdentityCredential(
            "sync-federation",
            federated_identity_credential_resource_name="cluster",
            resource_name_=made.name,
            resource_group_name=self.place.group,
            issuer=issuer,
            subject=service_account,
            audiences=["api://AzureADTokenExchange"],
            opts=self.place.under(self),
        )
        return made

    def annotations(self, identity: AzureIdentity) -> dict[str, pulumi.Input[str]]:
        """What says of a service account that it is `identity`."""
        return {
            "azure.workload.identity/client-id": identity.client_id,
            "azure.workload.identity/tenant-id": self.place.tenant,
        }

    def container_app(self) -> ContainerApp:
        """The server, before it is there."""
        made = user_assigned("server-identity", self._names.plain("server"), self.place, self)
        return ContainerApp(place=self.place, environment=self.environment, reads=made)


def _let_pull(
    parent: pulumi.ComponentResource, store: AzureStore, place: AzurePlace, platform: AzureIdentity
) -> list[pulumi.Resource]:
    """What an image can't be pulled without, where its registry asks: by one role or the other, as the registry has
    it (Azure Container Registry, Microsoft Entra repository permissions). The other allows nothing there."""
    if not store.registry:
        return []
    grants = roles.Grants(parent=parent, place=place)
    return [
        grants.to_identity(name, role, platform.object_id, scope=store.registry, why=f"images are pulled {of}")
        for name, role, of in (
            ("platform-pulls", roles.ACR_PULL, "from a registry whose roles are for all of it"),
            ("platform-reads-repositories", roles.REPOSITORY_READER, "from a registry with permissions by repository"),
        )
    ]


def user_assigned(name: str, physical: str, place: AzurePlace, parent: pulumi.ComponentResource) -> AzureIdentity:
    """An identity that outlives what has it: roles are assigned before there is a container."""
    made = azure.managedidentity.UserAssignedIdentity(
        name,
        resource_name_=physical,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        opts=place.under(parent),
    )
    kind = "Microsoft.ManagedIdentity/userAssignedIdentities"
    planned_id = pulumi.Output.format(
        "/subscriptions/{0}/resourceGroups/{1}/providers/{2}/{3}", place.subscription, place.group, kind, physical
    )
    return AzureIdentity(
        name=planned(made.name, physical),
        id=planned(made.id, planned_id),
        client_id=made.client_id,
        object_id=made.principal_id,
    )
