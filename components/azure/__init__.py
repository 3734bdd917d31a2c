"""Azure: Key Vault, Container Apps and Azure Monitor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..core import lazily

if TYPE_CHECKING:
    from .access_trail import AzureAccessTrail, AzureAccessTrailArgs, WorkspaceArgs
    from .container_app import ContainerAppMcpServer, ContainerAppMcpServerArgs
    from .identity import AzureIdentities
    from .names import AzureIdentitiesArgs
    from .network import DnsZonesArgs, PrivateEndpointArgs, VaultNetworkArgs
    from .principals import AzureUser, ContainerApp
    from .rotation import AzureRotation, AzureRotationArgs
    from .secret_store import AzureSecretStore, AzureSecretStoreArgs

__all__ = [
    "AzureAccessTrail", "AzureAccessTrailArgs", "AzureIdentities", "AzureIdentitiesArgs", "AzureRotation",
    "AzureRotationArgs", "AzureSecretStore", "AzureSecretStoreArgs", "AzureUser", "ContainerApp",
    "ContainerAppMcpServer", "ContainerAppMcpServerArgs", "DnsZonesArgs", "PrivateEndpointArgs", "VaultNetworkArgs",
    "WorkspaceArgs",
]  # fmt: skip

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "secret_store", "container_app", "access_trail", "identity", "network")
