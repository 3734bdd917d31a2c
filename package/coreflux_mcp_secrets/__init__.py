"""The secrets of a Coreflux MCP server, in another Pulumi program. docs/operations/component.md has an example."""

from coreflux_mcp_secrets.component import CorefluxSecrets, CorefluxSecretsArgs

__all__ = ["CorefluxSecrets", "CorefluxSecretsArgs"]
