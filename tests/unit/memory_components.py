"""Components of a seventh platform, in memory. They need only this module and an entry in the registry."""

from dataclasses import dataclass
from typing import Any, Literal

import pulumi

from components.core.mcp_server import McpServer, McpServerArgs
from components.core.platform import Feature, Platform
from components.core.principals import HostUser, Principal, Workload
from components.core.references import MountedFiles, Reference, ReferenceKind
from components.core.secret_store import SecretStore, SecretStoreArgs, Trail
from components.settings.section import ServerSection, StoreSection
from components.settings.settings import Settings
from tests.unit.memory_platform import MemoryLocation


class MemoryStore(StoreSection):
    kind: Literal["memory"]
    key: str


class MemoryServer(ServerSection):
    kind: Literal["memory"]


@dataclass(frozen=True, kw_only=True)
class MemorySecretStoreArgs(SecretStoreArgs):
    key: str


class MemorySecretStore(SecretStore):
    def __init__(self, name: str, args: MemorySecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:memory:SecretStore", name, opts)
        self._key = args.key
        self.manifest = args.manifest(store=MemoryLocation(key=args.key), broker=args.broker.location())
        self.register_outputs({})

    def publish(self, *, reader: Principal) -> MountedFiles:  # noqa: ARG002
        return MountedFiles(source=f"memory:{self._key}", secrets=self.read_by_server)

    def rotate(self) -> str:
        return ""

    def record_access(self) -> Trail:
        return Trail(records="none")


class MemoryMcpServer(McpServer):
    def __init__(self, name: str, args: McpServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:memory:McpServer", name, opts)
        self.endpoint = f"memory://{args.stack_name}"
        self.register_outputs({})


class InMemory(Platform):
    store_settings = MemoryStore
    server_settings = MemoryServer
    references = {"memory": (ReferenceKind.MOUNTED_FILES,)}  # noqa: RUF012
    gaps = {Feature.ENCRYPTION_AT_REST: "Nothing is written to a disk."}  # noqa: RUF012

    def open_workload(self, name: str, settings: Settings, opts: pulumi.ResourceOptions) -> HostUser:  # noqa: ARG002
        return HostUser.this()

    def open_principal(self, name: str, settings: Settings, workload: Any, opts: Any) -> HostUser:  # noqa: ARG002
        return HostUser.this()

    def open_store(self, name: str, settings: Settings, principal: Principal, opts: Any) -> SecretStore:  # noqa: ARG002
        assert isinstance(settings.store, MemoryStore)
        return MemorySecretStore(name, MemorySecretStoreArgs(**settings.store_args, key=settings.store.key), opts)

    def open_server(
        self,
        name: str,
        settings: Settings,
        workload: Workload,  # noqa: ARG002
        secrets: Reference,  # noqa: ARG002
        opts: pulumi.ResourceOptions,
    ) -> McpServer:
        return MemoryMcpServer(name, McpServerArgs(**settings.server_args), opts)


PLATFORM = InMemory()
