from __future__ import annotations

from os.path import normpath
from pathlib import Path
from typing import ClassVar, Literal

from ..settings.field_types import AbsolutePath, Caller, Folder
from ..settings.section import PROJECT_FOLDER, ServerSection, StoreSection


class DotenvStore(StoreSection):
    """A folder on this machine, as in the Secret Management Guide."""

    kind: Literal["dotenv"]
    root: Folder = ".coreflux-mcp"
    """Path, absolute or relative to the project."""
    deliver: Literal["variables", "files"] = "variables"
    """What config/.env contains: the values (MQTT_PASSWORD), or the paths of their files (MQTT_PASSWORD_FILE)."""

    @property
    def folder(self) -> Path:
        return Path(normpath(PROJECT_FOLDER / self.root))


class LocalServer(ServerSection):
    """The MCP server on this machine, started by an MCP client over stdio."""

    kind: Literal["local"]
    is_remote: ClassVar[bool] = False
    keys_for_stores: ClassVar = {"reader": ("aws", "azure"), "folder": ("aws", "azure", "vault")}
    # Unknown, because MCP clients start any number of launchers.
    replicas: ClassVar[None] = None
    source: AbsolutePath | None = None
    """Folder of the upstream server; by default the launcher finds or clones it."""
    reader: Caller | None = None
    """Identity with which the launcher reads a store on AWS or Azure."""
    folder: Folder | None = None
    """With a store other than dotenv, the folder that contains config/mcp.json, the server's entry for MCP clients.
    Absolute, or relative to the project."""

    @property
    def entry_folder(self) -> Path:
        return Path(normpath(PROJECT_FOLDER / (self.folder or ".coreflux-mcp-local")))
