"""The MCP server on this machine: an MCP client starts the launcher over stdio from a written entry."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path

import pulumi

from ..core.mcp_server import McpServer
from ..core.references import Fetched, MountedFiles
from ..settings.settings import Settings
from .folder import Folder
from .settings import DotenvStore, LocalServer

CLIENT_ENTRY = "config/mcp.json"


class LocalMcpServer(McpServer):
    """A client entry and the public variables. Owns no process: the MCP client starts it, and no value."""

    def __init__(
        self,
        name: str,
        *,
        server: LocalServer,
        settings: Settings,
        secrets: MountedFiles | Fetched,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:local:McpServer", name, None, opts)
        public = settings.broker.args.public_variables(log_level=settings.log_level, agent_url=settings.agent_url)
        folders: tuple[str, ...]
        # What a store's own rotator and logins have in the folder of the entry.
        beside = ("login", "rotator") if settings.store.kind == "vault" else ()
        if isinstance(settings.store, DotenvStore):
            root, folders, lines, environment = settings.store.folder, (), public, {}
        else:  # no config/.env that the launcher reads: what is public comes to it with the entry
            root, folders, lines, environment = server.entry_folder, ("config", *beside), {}, public
        self.endpoint = str(root / CLIENT_ENTRY)
        Folder(
            f"{name}-files",
            root=str(root),
            folders=folders,
            files={CLIENT_ENTRY: client_entry(secrets, server, environment)},
            lines=lines,
            stack=settings.stack,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"endpoint": self.endpoint})


def client_entry(secrets: MountedFiles | Fetched, server: LocalServer, public: Mapping[str, str]) -> str:
    """An entry for an MCP client, in the shape of the server's own example. It names a place and holds no secret."""
    entry = {
        "command": str(Path(sys.prefix) / "bin" / "secretops"),
        "args": ["run", "--from", secrets.source],
        "description": "Coreflux MQTT broker control, on rotated credentials",
        "env": {**public, **({"COREFLUX_SERVER_DIR": server.source} if server.source else {})},
    }
    return json.dumps({"mcpServers": {"coreflux": entry}}, indent=2) + "\n"
