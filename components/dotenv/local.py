"""The MCP server on this machine: an MCP client starts the launcher over stdio from a written entry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pulumi

from components.broker import public_variables
from components.dotenv.folder import Folder
from components.references import Reference
from components.sections import DotenvStore, LocalServer
from components.server import McpServer
from settings import Settings

CLIENT_ENTRY = "config/mcp.json"


class LocalMcpServer(McpServer):
    """A client entry and the public variables. Owns no process: the MCP client starts it, and no value."""

    def __init__(
        self,
        name: str,
        *,
        server: LocalServer,
        settings: Settings,
        secrets: Reference,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:local:McpServer", name, None, opts)
        if not isinstance(settings.store, DotenvStore):
            raise TypeError(f"{settings.store.kind}: Settings lets only dotenv through to a local server today")
        root = settings.store.folder
        self.endpoint = str(root / CLIENT_ENTRY)
        Folder(
            f"{name}-files",
            root=str(root),
            files={CLIENT_ENTRY: client_entry(secrets, server)},
            lines=public_variables(settings.broker, log_level=settings.log_level),
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"endpoint": self.endpoint})


def client_entry(secrets: Reference, server: LocalServer) -> str:
    """An entry for an MCP client, in the shape of the server's own example. It names a place and holds no secret."""
    entry = {
        "command": str(Path(sys.prefix) / "bin" / "secretops"),
        "args": ["run", "--from", secrets.source],
        "description": "Coreflux MQTT broker control, on rotated credentials",
        "env": {"COREFLUX_SERVER_DIR": server.source} if server.source else {},
    }
    return json.dumps({"mcpServers": {"coreflux": entry}}, indent=2) + "\n"
