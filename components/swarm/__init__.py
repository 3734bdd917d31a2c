"""The Docker Swarm platform: secrets of a Swarm as the store, a service as the server.

The oldest supported Docker releases are 20.10.24 and 23.0.3: older ones accept injected packets in encrypted networks
(CVE-2023-28840).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .identity import SwarmIdentity, SwarmIdentityArgs
    from .mcp_server import SwarmMcpServer
    from .secret_store import SwarmRotator, SwarmSecretStore
    from .server_spec import SwarmMcpServerArgs
    from .service_spec import LogDriverArgs, SwarmService
    from .store_spec import SwarmRotatorArgs, SwarmSecretStoreArgs

__all__ = [
    "LogDriverArgs", "SwarmIdentity", "SwarmIdentityArgs", "SwarmMcpServer", "SwarmMcpServerArgs", "SwarmRotator",
    "SwarmRotatorArgs", "SwarmSecretStore", "SwarmSecretStoreArgs", "SwarmService",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "mcp_server", "identity", "service_spec")
