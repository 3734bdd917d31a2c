"""Provider, resource group, Container Apps environment and identities, shared by Azure's components."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pulumi
import pulumi_azure_native as azure

from ..core.component import Component, ComponentError, planned
from ..core.naming import PROJECT
from . import roles
from .names import AzureIdentitiesArgs
from .principals import AzureEnvironment, AzureIdentity, AzurePlace, ContainerApp


@dataclass(frozen=True, kw_only=True)
class AzureArgs(AzureIdentitiesArgs):
    shared: AzureEnvironment | None = None
    """The property `environment` of AzureIdentities or another component, to share it. By default the component creates
    an environment."""

    def open_environment(self, name: str, parent: Component) -> AzureEnvironment:
        """Return `shared`, or create an environment below `parent`. Raises ComponentError if `shared` is for another
        subscription."""
        if self.shared is None:
            return AzureIdentities(f"{name}-identity", self, pulumi.ResourceOptions(parent=parent)).environment
        place, yours = self.shared.place, parent.get_provider(_ANY)
        _check(name, place.names.vault_id, self.subscription)
        return replace(self.shared, place=replace(place, provider=yours)) if yours else self.shared


class AzureIdentities(Component):
    """A resource group, the Container Apps environment of rotator and server and, unless `opts.provider` is set, a
    provider.

    Methods declare identities, to which the store's method `publish` then grants roles on secrets.
    """

    environment: AzureEnvironment

    def __init__(self, name: str, args: AzureIdentitiesArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:azure:Identity", name, opts, formerly="")
        names, yours = args.names, self.get_provider(_ANY)
        provider = yours or azure.Provider(
            f"{name}-azure",
            subscription_id=args.subscription,
            tenant_id=args.tenant,
            location=args.location,
            opts=pulumi.ResourceOptions(parent=self),
        )
        tags = {**args.tags, "project": PROJECT, "stack": names.stack}
        if args.resource_group:
            group = pulumi.Output.from_input(args.resource_group)
        else:
            made_group = azure.resources.ResourceGroup(
                f"{name}-group",
                resource_group_name=names.group,
                location=args.location,
                tags=tags,
                opts=pulumi.ResourceOptions(parent=self, provider=provider),
            )
            group = planned(made_group.name, names.group)
        place = AzurePlace(
            names=names,
            tenant=args.tenant,
            location=args.location,
            group=group,
            tags=tags,
            provider=provider,
        )
        platform = user_assigned(f"{name}-platform-identity", "platform", place, self)
        if yours:  # a provider's subscription is only visible in resource ids
            known = pulumi.Output.from_input(platform.id).apply(lambda id_: _check(name, id_, args.subscription))
            platform = replace(platform, id=known)
        made = azure.app.ManagedEnvironment(
            f"{name}-environment",
            environment_name=names.plain("environment"),
            resource_group_name=place.group,
            location=args.location,
            tags=tags,
            # A diagnostic setting (access_trail.py) sends the logs. A workspace here requires its key, a secret.
            app_logs_configuration={"destination": "azure-monitor"},
            vnet_configuration={"infrastructure_subnet_id": args.subnet, "internal": True} if args.subnet else None,
            zone_redundant=args.zone_redundant or None,
            workload_profiles=[{"name": "Consumption", "workload_profile_type": "Consumption"}],
            peer_traffic_configuration={
                "encryption": {"enabled": True}
            },  # TLS between nodes, because bearer tokens are sent there
            # Role assignments take minutes to take effect, and Container Apps fails if it can't pull an image. The
            # environment is created after them, and its creation takes as long.
            opts=place.under(self, after=_let_pull(self, name, args.registry, place, platform)),
        )
        self.environment = AzureEnvironment(
            place=place,
            id=planned(made.id, names.resource_id(f"Microsoft.App/managedEnvironments/{names.plain('environment')}")),
            domain=made.default_domain,
            platform=platform,
            args=args,
        )
        self.register_outputs({"subscription": args.subscription})

    def container_app(self) -> ContainerApp:
        """Declare the identity of a server on Container Apps, before the server exists."""
        return container_app(self._name, self.environment, self)

    def sync(self, issuer: pulumi.Input[str], service_account: str) -> AzureIdentity:
        """Declare an identity for a cluster's service account. Entra trusts the account's tokens from `issuer`."""
        place = self.environment.place
        made = user_assigned(f"{self._name}-sync-identity", "sync", place, self)
        azure.managedidentity.FederatedIdentityCredential(
            f"{self._name}-sync-federation",
            federated_identity_credential_resource_name="cluster",
            resource_name_=made.name,
            resource_group_name=place.group,
            issuer=issuer,
            subject=service_account,
            audiences=["api://AzureADTokenExchange"],
            opts=place.under(self),
        )
        return made

    def annotations(self, identity: AzureIdentity) -> dict[str, pulumi.Input[str]]:
        return {
            "azure.workload.identity/client-id": identity.client_id,
            "azure.workload.identity/tenant-id": self.environment.place.tenant,
        }


def container_app(name: str, environment: AzureEnvironment, parent: Component) -> ContainerApp:
    reads = user_assigned(f"{name}-server-identity", "server", environment.place, parent)
    return ContainerApp(environment=environment, reads=reads)


def user_assigned(name: str, what: str, place: AzurePlace, parent: pulumi.ComponentResource) -> AzureIdentity:
    """Declare a user-assigned identity. It can get roles before its containers exist."""
    physical = place.names.plain(what)
    made = azure.managedidentity.UserAssignedIdentity(
        name,
        resource_name_=physical,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        opts=place.under(parent),
    )
    planned_id = place.names.resource_id(f"Microsoft.ManagedIdentity/userAssignedIdentities/{physical}")
    return AzureIdentity(
        name=planned(made.name, physical),
        id=planned(made.id, planned_id),
        client_id=made.client_id,
        object_id=made.principal_id,
    )


def _let_pull(
    parent: Component, name: str, registry: pulumi.Input[str] | None, place: AzurePlace, platform: AzureIdentity
) -> list[pulumi.Resource]:
    """Allow Container Apps to pull images with `platform`. It assigns two roles, since the registry's mode decides
    which of them applies (Azure Container Registry, Microsoft Entra repository permissions)."""
    if registry is None:
        return []
    grants = roles.Grants(name=name, parent=parent, place=place)
    return [
        grants.assign(what, role, platform.object_id, scope=registry, why=why)
        for what, role, why in (
            (
                "platform-pulls",
                roles.ACR_PULL,
                "images are pulled from a registry whose roles apply to all its repositories",
            ),
            (
                "platform-reads-repositories",
                roles.REPOSITORY_READER,
                "images are pulled from a registry with permissions for each repository",
            ),
        )
    ]


# Some type of the package azure-native, to look up the provider of a component.
_ANY = "azure-native:app:Job"


def _check(name: str, resource: str, wanted: str) -> str:
    found = resource.split("/")[2]
    if found.lower() == wanted.lower():
        return resource
    raise ComponentError(
        f"{name}: the provider, or the shared Container Apps environment, is in subscription {found}",
        f"both must be in the subscription of the arguments, {wanted}",
        f"correct the argument subscription, or pass a provider and an environment of subscription {wanted}",
        code="provider-of-other-account",
    )
