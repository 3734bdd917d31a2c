from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Pods, Principal, Workload
from ..core.references import Fetched, Reference, ReferenceKind
from ..settings.problems import Problem
from ..settings.settings import Settings
from .names import AzureIdentitiesArgs
from .principals import AzurePods, AzureReader, AzureUser, ContainerApp
from .settings import AzureStore, ContainerAppServer, VaultNetwork

if TYPE_CHECKING:
    from .container_app import ContainerAppMcpServer
    from .identity import AzureIdentities
    from .network import VaultNetworkArgs
    from .secret_store import AzureSecretStore


class Azure(Platform):
    store_settings = AzureStore
    server_settings = ContainerAppServer
    references = {
        "local": (ReferenceKind.FETCHED,),
        "kubernetes": (ReferenceKind.SYNCED_KEY,),
        "containerapp": (ReferenceKind.FETCHED,),
    }
    why_no_other = "a server of that kind has no Azure identity"
    gaps = {
        Feature.READ_TRAIL: "Log Analytics records each read after some minutes; a principal that may delete its data "
        "can remove records",
        Feature.GRANT: "a principal that may assign roles can grant itself any secret: an alert reports the assignment",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        yield from cross_field_rules(sections)

    def warnings(self, environment: str, store: AzureStore) -> Iterator[str]:
        if environment == "production" and not store.alert_emails:
            yield "store.alert_emails: empty, so nobody receives the alerts of this production stack; add an address"

    def gaps_of(self, settings: Settings) -> dict[str, str]:
        found = super().gaps_of(settings)
        if isinstance(settings.store, AzureStore) and settings.store.open_to_internet:
            found["network"] = (
                "store.open_to_internet is true: vault and lease accept every network, and only roles protect them; "
                "to close both, write store.network"
            )
        return found

    def first_tick(self, settings: Settings) -> str | None:
        if not isinstance(settings.store, AzureStore):
            return None
        names = _args(settings).names
        return (
            f"az containerapp job start --subscription {names.subscription} -g {names.group} -n {names.job} "
            "(or wait for the full hour)"
        )

    def last_steps(self, settings: Settings) -> Iterator[str]:
        if isinstance(settings.server, ContainerAppServer) and not settings.server.bootstrapped:
            yield "write server.bootstrapped: true in the stack file and run pulumi up"

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> ContainerApp:
        return _identities(name, settings, opts).container_app()

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> AzureReader:
        match workload:
            case ContainerApp():
                return workload
            case HostUser(reader=str() as user):
                return AzureUser(environment=_identities(name, settings, opts).environment, object_id=user)
            case Pods(oidc_issuer=issuer) if issuer is not None:
                azure = _identities(f"{name}-azure", settings, opts)
                reads = azure.sync(issuer, workload.sync_user)
                syncs_as = workload.sync_account(azure.annotations(reads))
                return AzurePods(environment=azure.environment, reads=reads, syncs_as=syncs_as)
        raise TypeError(f"{workload}: has no Azure identity to read with")

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> AzureSecretStore:
        from .access_trail import TrailOptions, WorkspaceArgs
        from .secret_store import AzureSecretStore, AzureSecretStoreArgs

        assert isinstance(store := settings.store, AzureStore)
        assert isinstance(principal, ContainerApp | AzurePods | AzureUser)
        assert principal.environment
        workspace = store.workspace
        own = {
            **store.arguments_of(TrailOptions),
            "workspace": workspace and WorkspaceArgs(**workspace.arguments_of(WorkspaceArgs)),
            "network": store.network and _network(store.network),
            "image": store.image or getattr(settings.server, "image", ""),
        }
        args = AzureSecretStoreArgs(**{**principal.environment.sharing, **settings.store_args, **own})
        return AzureSecretStore(name, args, opts)

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> ContainerAppMcpServer:
        from .container_app import ContainerAppMcpServer, ContainerAppMcpServerArgs

        assert isinstance(server := settings.server, ContainerAppServer)
        assert isinstance(workload, ContainerApp)
        assert isinstance(secrets, Fetched)
        own = {**server.arguments_of(ContainerAppMcpServerArgs), "references": secrets, "app": workload}
        args = ContainerAppMcpServerArgs(**{**workload.environment.sharing, **settings.server_args, **own})
        return ContainerAppMcpServer(name, args, opts)


def _args(settings: Settings) -> AzureIdentitiesArgs:
    assert isinstance(store := settings.store, AzureStore)
    return AzureIdentitiesArgs(stack=settings.stack, **store.arguments_of(AzureIdentitiesArgs))


def _identities(name: str, settings: Settings, opts: pulumi.ResourceOptions) -> AzureIdentities:
    from .identity import AzureIdentities

    return AzureIdentities(name, _args(settings), opts)


def _network(section: VaultNetwork) -> VaultNetworkArgs:
    from .network import DnsZonesArgs, PrivateEndpointArgs, VaultNetworkArgs

    found = section.private_endpoint
    endpoint = None
    if found:
        zones = DnsZonesArgs(vault=found.dns_zones.vault, blob=found.dns_zones.blob)
        endpoint = PrivateEndpointArgs(subnet=found.subnet, dns_zones=zones)
    return VaultNetworkArgs(addresses=section.addresses, subnets=section.subnets, private_endpoint=endpoint)


PLATFORM = Azure()
