"""The secrets of a Coreflux MCP server as Pulumi components. In the wheel this package is `coreflux_mcp_secrets`.

`docs/operations/component.md` has an example. A platform's SDK is imported when its first resource is declared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .arguments import CorefluxSecretsArgs
    from .coreflux_secrets import CorefluxSecrets

__all__ = ["CorefluxSecrets", "CorefluxSecretsArgs"]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use, so that the import of one module does not import all of them."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import coreflux_secrets

    return getattr(coreflux_secrets, name)
