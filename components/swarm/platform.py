"""Docker Swarm: its secrets as a store, and the server as a service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import Principal, Workload
from ..core.references import Fetched, MountedFiles, Reference, ReferenceKind
from ..settings.problems import Problem
from ..settings.settings import Settings
from .principals import SwarmService
from .settings import SwarmServer, SwarmStore

if TYPE_CHECKING:
    from .mcp_server import SwarmMcpServer
    from .secret_store import SwarmSecretStore


class Swarm(Platform):
    """The platform `swarm`."""

    store_settings = SwarmStore
    server_settings = SwarmServer
    references = {"swarm": (ReferenceKind.MOUNTED_FILES,)}
    why_no_other = "only Swarm's own services can be given its secrets"
    gaps = {
        Feature.ENCRYPTION_AT_REST: "managers encrypt what they keep; with autolock off the key lies beside it",
        Feature.READ_TRAIL: "a Swarm records no read: launcher and ticks record their own, another's is not seen",
        Feature.GRANT: "whoever may use a manager's socket can give any secret to a container of his own",
        Feature.SCHEDULE: "a systemd timer is written, and runs once a manager has it enabled; or a service runs",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        yield from cross_field_rules(stack, sections)

    def preflight(self, settings: Settings) -> None:
        """Check that a manager of a Swarm can be reached, if the server is there."""
        if isinstance(settings.server, SwarmServer):
            from .deployer import check_manager

            check_manager()

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> SwarmService:
        from .identity import SwarmIdentity

        assert isinstance(settings.server, SwarmServer)
        return SwarmIdentity(name, server=settings.server, stack=settings.stack, opts=opts).principal

    def open_principal(
        self,
        name: str,
        settings: Settings,
        workload: Workload,
        opts: pulumi.ResourceOptions,
    ) -> SwarmService:
        """Return the service: its secrets are attached to it."""
        assert isinstance(workload, SwarmService)
        return workload

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> SwarmSecretStore:
        from .secret_store import SwarmSecretStore

        assert isinstance(settings.store, SwarmStore)
        assert isinstance(settings.server, SwarmServer)
        assert isinstance(principal, SwarmService)
        return SwarmSecretStore(
            name,
            store=settings.store,
            server=settings.server,
            broker=settings.broker.args,
            place=principal.place,
            settings=settings,
            opts=opts,
        )

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> SwarmMcpServer:
        from .mcp_server import SwarmMcpServer, given_to

        assert isinstance(settings.server, SwarmServer)
        assert isinstance(workload, SwarmService)
        assert isinstance(secrets, MountedFiles | Fetched)
        return SwarmMcpServer(
            name,
            server=settings.server,
            broker=settings.broker.args,
            account=workload,
            settings=settings,
            secrets=secrets,
            given=given_to(settings.server, workload, settings),
            opts=opts,
        )


PLATFORM = Swarm()
