"""The sections of a stack file whose store or server is on this machine."""

from __future__ import annotations

from os.path import normpath
from pathlib import Path
from typing import ClassVar, Literal

from ..settings.field_types import AbsolutePath, Caller, Folder
from ..settings.section import PROJECT_FOLDER, ServerSection, StoreSection


class DotenvStore(StoreSection):
    """A folder on this machine, as the guide draws it."""

    kind: Literal["dotenv"]
    root: Folder = ".coreflux-mcp"
    """Relative to the project, or absolute, for example /etc/coreflux-mcp."""
    deliver: Literal["variables", "files"] = "variables"
    """Whether config/.env holds the values (MQTT_PASSWORD) or names their files (MQTT_PASSWORD_FILE)."""

    @property
    def folder(self) -> Path:
        """Return the root, absolute and without `..`."""
        return Path(normpath(PROJECT_FOLDER / self.root))


class LocalServer(ServerSection):
    """The MCP server on this machine, started by an MCP client over stdio."""

    kind: Literal["local"]
    is_remote: ClassVar[bool] = False
    keys_for_stores: ClassVar = {"reader": ("aws", "azure"), "folder": ("aws", "azure", "vault")}
    replicas: ClassVar[None] = None
    """As many as MCP clients start."""
    source: AbsolutePath | None = None
    """The upstream server's folder; without it the launcher finds or clones it."""
    reader: Caller | None = None
    """As whom the launcher reads: a role or a user of AWS, whose own policies have to let it, or a user of Azure."""
    folder: Folder | None = None
    """Where the client's entry is written, for a store that is no folder. Relative to the project, or absolute."""

    @property
    def entry_folder(self) -> Path:
        """Return that folder, absolute and without `..`."""
        return Path(normpath(PROJECT_FOLDER / (self.folder or ".coreflux-mcp-local")))
