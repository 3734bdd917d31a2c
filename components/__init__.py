"""Pulumi components for the secrets of a Coreflux MCP server. In the wheel this package is `coreflux_mcp_secrets`.

It exports what all platforms share. A platform's components are in a package of their own, such as `components.aws`,
which imports the platform's SDK when you first use a component. `docs/operations/component.md` has examples.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .core import lazily

if TYPE_CHECKING:
    from .arguments import CorefluxSecretsArgs
    from .core.broker import BrokerArgs
    from .core.references import Fetched, MountedFiles, NativeRef, SyncedKey
    from .coreflux_secrets import CorefluxSecrets

__all__ = ["BrokerArgs", "CorefluxSecrets", "CorefluxSecretsArgs", "Fetched", "MountedFiles", "NativeRef", "SyncedKey"]

if not TYPE_CHECKING:
    __getattr__ = lazily(__name__, __all__, "arguments", "core.broker", "core.references", "coreflux_secrets")
