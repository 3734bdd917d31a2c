"""The MCP server on this machine: an MCP client starts the launcher over stdio from a written entry."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pulumi

from components.dotenv.folder import Folder
from components.references import Reference
from components.sections import DotenvStore, EmbeddedBroker, LocalServer, OutsideBroker
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
            lines=public_variables(settings),
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


def public_variables(settings: Settings) -> dict[str, str]:
    """The lines of config/.env that are no secret (the guide, Environment-Specific Configuration)."""
    match settings.broker:
        case EmbeddedBroker() as broker:
            where = {"MQTT_BROKER": "localhost", "MQTT_PORT": str(broker.port), "MQTT_USE_TLS": "false"}
            where["MQTT_PROTOCOL"] = "3.1.1"
        case OutsideBroker() as broker:
            where = {
                "MQTT_BROKER": broker.host,
                "MQTT_PORT": str(broker.listening_port),
                "MQTT_USE_TLS": "true" if broker.tls else "false",
                "MQTT_PROTOCOL": broker.protocol.value,
            }
            if broker.ca_file:
                where["MQTT_CA_CERT"] = broker.ca_file
    return {**where, "LOG_LEVEL": settings.log_level}
