"""The MCP server on this machine: an MCP client starts the launcher over stdio."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pulumi

from ..core.mcp_server import McpServer, McpServerArgs
from ..core.references import Fetched, MountedFiles
from .folder import Folder

CLIENT_ENTRY = "config/mcp.json"


@dataclass(frozen=True, kw_only=True)
class LocalMcpServerArgs(McpServerArgs):
    references: MountedFiles | Fetched
    """Result of a store's `publish()`, or your own references."""
    root: str
    """Absolute path of the folder that contains config/mcp.json, the server's entry for MCP clients."""
    source: str | None = None
    """Folder of the upstream server; by default the launcher finds or clones it."""
    folders: tuple[str, ...] = ("config",)
    """Folders to create below `root`, including those of a rotator."""
    env_file: bool = False
    """Whether to write variables that are not secret to config/.env, as with the dotenv store, not to
    config/mcp.json."""


class LocalMcpServer(McpServer):
    """The server's entry for MCP clients, and its variables that are not secret. Starts no process: the MCP client
    starts the launcher."""

    def __init__(self, name: str, args: LocalMcpServerArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:local:McpServer", name, opts)
        public = args.public_variables()
        self.endpoint = str(Path(args.root) / CLIENT_ENTRY)
        Folder(
            f"{name}-files",
            root=args.root,
            folders=() if args.env_file else args.folders,
            files={CLIENT_ENTRY: client_entry(args, {} if args.env_file else public)},
            lines=public if args.env_file else {},
            stack=args.stack_name,
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.register_outputs({"endpoint": self.endpoint})


def client_entry(args: LocalMcpServerArgs, public: Mapping[str, str]) -> str:
    """Return the server's entry in an MCP client's configuration (config/mcp.json). It starts the launcher, and
    contains no secret."""
    entry = {
        "command": str(Path(sys.prefix) / "bin" / "secretops"),
        "args": ["run", "--from", args.references.source],
        "description": "Coreflux MQTT broker control, on rotated credentials",
        "env": {**public, **({"COREFLUX_SERVER_DIR": args.source} if args.source else {})},
    }
    return json.dumps({"mcpServers": {"coreflux": entry}}, indent=2) + "\n"
