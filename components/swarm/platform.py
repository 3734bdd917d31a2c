from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pulumi

from secretops.formats import image_registry
from secretops.platforms.swarm.location import MountedSecret

from ..core.platform import Feature, Platform
from ..core.principals import Principal, Workload
from ..core.references import Fetched, MountedFiles, Reference, ReferenceKind
from ..settings.problems import Problem
from ..settings.settings import Settings
from .names import Names
from .server_spec import SwarmMcpServerArgs
from .service_spec import LogDriverArgs, SwarmService
from .settings import SwarmServer, SwarmStore
from .store_spec import SwarmSecretStoreArgs

if TYPE_CHECKING:
    from .mcp_server import SwarmMcpServer
    from .secret_store import SwarmSecretStore


class Swarm(Platform):
    store_settings = SwarmStore
    server_settings = SwarmServer
    references = {"swarm": (ReferenceKind.MOUNTED_FILES,)}
    why_no_other = "only services of the Swarm can mount its secrets"
    gaps = {
        Feature.ENCRYPTION_AT_REST: "managers encrypt their data; without autolock, the encryption key is on the same "
        "disk",
        Feature.READ_TRAIL: "a Swarm records no reads: launchers and ticks record their own reads; reads by other "
        "programs are not recorded",
        Feature.GRANT: "access to a manager's socket is enough to mount any secret into a container",
        Feature.SCHEDULE: "you must enable a systemd timer on a manager; with rotator: service the Swarm runs ticks",
    }

    def cross_field_rules(self, stack: str, sections: Mapping[str, Any]) -> Iterator[Problem]:
        from .cross_field_rules import cross_field_rules

        yield from cross_field_rules(stack, sections)

    def preflight(self, settings: Settings) -> None:
        if isinstance(settings.server, SwarmServer):
            from .deployer import check_login, check_manager

            check_manager()
            for registry in _registries(settings.server):
                check_login(registry)

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> SwarmService:
        from .deployer import manager
        from .identity import SwarmIdentity, SwarmIdentityArgs

        assert isinstance(server := settings.server, SwarmServer)
        args = SwarmIdentityArgs(
            host=manager(),  # the provider ignores Docker's current context, which secretops uses
            registries=_registries(server),
            encrypted=server.encrypted,
            stack=settings.stack,
            reader=server.reader,
        )
        return SwarmIdentity(name, args, opts).service

    def open_principal(
        self, name: str, settings: Settings, workload: Workload, opts: pulumi.ResourceOptions
    ) -> SwarmService:
        assert isinstance(workload, SwarmService)
        return workload

    def open_store(
        self, name: str, settings: Settings, principal: Principal, opts: pulumi.ResourceOptions
    ) -> SwarmSecretStore:
        from .secret_store import SwarmSecretStore

        assert isinstance(settings.store, SwarmStore)
        assert isinstance(settings.server, SwarmServer)
        assert isinstance(principal, SwarmService)
        return SwarmSecretStore(name, store_args(settings.store, settings.server, settings, shared=principal), opts)

    def open_server(
        self, name: str, settings: Settings, workload: Workload, secrets: Reference, opts: pulumi.ResourceOptions
    ) -> SwarmMcpServer:
        from .mcp_server import SwarmMcpServer, login_secret, mounted_now

        assert isinstance(server := settings.server, SwarmServer)
        assert isinstance(workload, SwarmService)
        assert isinstance(secrets, MountedFiles | Fetched)
        if isinstance(settings.store, SwarmStore):
            mounted = mounted_now(Names(workload.base))
        else:
            mounted = (login_secret(server.login),) if server.login else ()
        args = server_args(server, settings, references=secrets, shared=workload, mounted=mounted)
        return SwarmMcpServer(name, args, opts)


def store_args(
    store: SwarmStore, server: SwarmServer, settings: Settings, shared: SwarmService | None = None
) -> SwarmSecretStoreArgs:
    return SwarmSecretStoreArgs(
        **settings.store_args,
        **_swarm_args(server),
        shared=shared,
        networks=server.networks,
        rotator=store.rotator,
        socket=store.socket,
    )


def server_args(
    server: SwarmServer,
    settings: Settings,
    *,
    references: MountedFiles | Fetched,
    shared: SwarmService | None = None,
    mounted: Sequence[MountedSecret] = (),
) -> SwarmMcpServerArgs:
    return SwarmMcpServerArgs(
        **settings.server_args,
        **_swarm_args(server),
        shared=shared,
        references=references,
        mounted=mounted,
        **{key: getattr(server, key) for key in _AS_THEY_ARE},
    )


_AS_THEY_ARE = (
    "replicas", "publish", "port", "allowed_hosts", "connection_tools", "networks", "constraints", "spread",
)  # fmt: skip


def _swarm_args(server: SwarmServer) -> dict[str, Any]:
    driver = server.log_driver
    return {
        "image": server.image,
        "encrypted": server.encrypted,
        "log_driver": LogDriverArgs(name=driver.name, options=driver.options) if driver else None,
    }


def _registries(server: SwarmServer) -> tuple[str, ...]:
    registry = image_registry(server.image)
    return (registry,) if server.registry_login and registry else ()


PLATFORM = Swarm()
