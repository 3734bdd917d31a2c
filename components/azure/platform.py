"""Azure: Key Vault as a store, and the server on Container Apps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Pods, Principal, Workload
from ..core.references import Fetched, Reference, ReferenceKind
from ..settings.problems import Problem
from ..settings.settings import Settings
from .principals import AzurePods, AzureReader, AzureUser, ContainerApp
from .settings import AzureStore, ContainerAppServer

if TYPE_CHECKING:
    from .container_app import ContainerAppMcpServer
    from .secret_store import AzureSecretStore


class Azure(Platform):
    """The platform `azure`, with the server `containerapp`."""

    store_settings = AzureStore
    server_settings = ContainerAppServer
    references = {
        "local": (ReferenceKind.FETCHED,),
        "kubernetes": (ReferenceKind.SYNCED_KEY,),
        "containerapp": (ReferenceKind.FETCHED,),
    }
    why_no_other = "the server there has no Azure identity to read with"
    gaps = {
        Feature.READ_TRAIL: "Log Analytics has each read, minutes later; "
        "who may delete or purge its data can take one out",
        Feature.GRANT: "who may assign roles can assign himself any secret's: an alert tells, nothing forbids it",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        yield from cross_field_rules(sections)

    def warnings(self, environment: str, store: AzureStore) -> Iterator[str]:
        if environment == "production" and not store.alert_emails:
            yield "store.alert_emails: none; nobody receives the alarms of this production stack. Add an address"

    def gaps_of(self, settings: Settings) -> dict[str, str]:
        found = super().gaps_of(settings)
        if isinstance(settings.store, AzureStore) and settings.store.open_to_internet:
            found["network"] = (
                "open_to_internet: true: vault and lease answer every network, and roles alone guard them; "
                "add store.network to close both"
            )
        return found

    def first_tick(self, settings: Settings) -> str | None:
        """Return the command that starts the rotator's job."""
        if not isinstance(store := settings.store, AzureStore):
            return None
        from .names import names_of

        names = names_of(store, settings.stack)
        return (
            f"az containerapp job start --subscription {store.subscription} -g {names.group} -n {names.job} "
            "(or wait for the full hour)"
        )

    def last_steps(self, settings: Settings) -> Iterator[str]:
        if isinstance(settings.server, ContainerAppServer) and not settings.server.bootstrapped:
            yield "bootstrapped: true in the section server, and pulumi up"

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> ContainerApp:
        from .identity import AzureIdentities

        assert isinstance(settings.store, AzureStore)
        return AzureIdentities(name, store=settings.store, stack=settings.stack, opts=opts).container_app()

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> AzureReader:
        """Return who reads the vault: the container app, what copies into a cluster, or a user."""
        from .identity import AzureIdentities

        assert isinstance(store := settings.store, AzureStore)
        match workload:
            case ContainerApp():
                return workload
            case HostUser(reader=str() as user):
                azure = AzureIdentities(name, store=store, stack=settings.stack, opts=opts)
                return AzureUser(place=azure.place, environment=azure.environment, object_id=user)
            case Pods(oidc_issuer=issuer) if issuer is not None:
                azure = AzureIdentities(f"{name}-azure", store=store, stack=settings.stack, opts=opts)
                reads = azure.sync(issuer, workload.sync_user)
                syncs_as = workload.sync_account(azure.annotations(reads))
                return AzurePods(place=azure.place, environment=azure.environment, reads=reads, syncs_as=syncs_as)
        raise TypeError(f"{workload}: has no Azure identity to read with")

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> AzureSecretStore:
        from .secret_store import AzureSecretStore

        assert isinstance(settings.store, AzureStore)
        assert isinstance(principal, ContainerApp | AzurePods | AzureUser)
        return AzureSecretStore(
            name,
            store=settings.store,
            image=settings.store.image or str(getattr(settings.server, "image", "")),
            broker=settings.broker.args,
            reader=principal,
            settings=settings,
            opts=opts,
        )

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> ContainerAppMcpServer:
        from .container_app import ContainerAppMcpServer

        assert isinstance(settings.store, AzureStore)
        assert isinstance(settings.server, ContainerAppServer)
        assert isinstance(workload, ContainerApp)
        assert isinstance(secrets, Fetched)
        return ContainerAppMcpServer(
            name,
            store=settings.store,
            server=settings.server,
            broker=settings.broker.args,
            app=workload,
            settings=settings,
            secrets=secrets,
            opts=opts,
        )


PLATFORM = Azure()
