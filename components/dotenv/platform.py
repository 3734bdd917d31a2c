from __future__ import annotations

from typing import TYPE_CHECKING

import pulumi

from ..core.platform import Feature, Platform
from ..core.principals import HostUser, Principal, Workload
from ..core.references import Fetched, MountedFiles, Reference, ReferenceKind
from ..settings.settings import Settings
from .settings import DotenvStore, LocalServer

if TYPE_CHECKING:
    from .mcp_server import LocalMcpServer
    from .secret_store import DotenvSecretStore


class Dotenv(Platform):
    store_settings = DotenvStore
    server_settings = LocalServer
    references = {"local": (ReferenceKind.MOUNTED_FILES,)}
    why_no_other = "the store's files are on one machine, and belong to one account"
    gaps = {
        Feature.ENCRYPTION_AT_REST: "files are plain text; put the folder on an encrypted disk",
        Feature.READ_TRAIL: "secretops and the launcher record each access; reads by other programs are not recorded",
        Feature.GRANT: "one account owns the folder: the server could read the rotator's secrets",
        Feature.SCHEDULE: "pulumi up writes a systemd user timer, which you must enable",
    }

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> HostUser:
        return HostUser.this(reader=getattr(settings.server, "reader", None))

    def open_principal(
        self,
        name: str,
        settings: Settings,
        workload: Workload,
        opts: pulumi.ResourceOptions,
    ) -> HostUser:
        assert isinstance(workload, HostUser)
        return workload

    def open_store(
        self,
        name: str,
        settings: Settings,
        principal: Principal,
        opts: pulumi.ResourceOptions,
    ) -> DotenvSecretStore:
        from .secret_store import DotenvSecretStore, DotenvSecretStoreArgs

        assert isinstance(settings.store, DotenvStore)
        args = DotenvSecretStoreArgs(
            **settings.store_args,
            root=str(settings.store.folder),
            deliver=settings.store.deliver,
            log_level=settings.log_level,
            agent_url=settings.server_args["agent_url"],
        )
        return DotenvSecretStore(name, args, opts)

    def open_server(
        self,
        name: str,
        settings: Settings,
        workload: Workload,
        secrets: Reference,
        opts: pulumi.ResourceOptions,
    ) -> LocalMcpServer:
        from .mcp_server import LocalMcpServer, LocalMcpServerArgs

        assert isinstance(server := settings.server, LocalServer)
        assert isinstance(secrets, MountedFiles | Fetched)
        in_store = isinstance(settings.store, DotenvStore)
        args = LocalMcpServerArgs(
            **settings.server_args,
            references=secrets,
            root=str(settings.store.folder if isinstance(settings.store, DotenvStore) else server.entry_folder),
            source=server.source,
            folders=("config", *settings.store.folders_beside_entry),
            env_file=in_store,
        )
        return LocalMcpServer(name, args, opts)


PLATFORM = Dotenv()
