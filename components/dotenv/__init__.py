"""The dotenv platform: a folder as the store, a process on this machine as the server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .mcp_server import LocalMcpServer, LocalMcpServerArgs
    from .secret_store import DotenvSecretStore, DotenvSecretStoreArgs

__all__ = [
    "DotenvSecretStore", "DotenvSecretStoreArgs", "LocalMcpServer", "LocalMcpServerArgs",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "mcp_server")
