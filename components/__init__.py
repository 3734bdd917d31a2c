"""The secrets of a Coreflux MCP server as Pulumi components. In the wheel this package is `coreflux_mcp_secrets`.

This package has what all platforms share; a platform's components are in their own package, such as `components.aws`. A
platform's SDK is imported when its first component is. `docs/operations/component.md` has examples.
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
