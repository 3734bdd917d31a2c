"""CorefluxSecrets as a Pulumi plugin, which the engine starts for programs in other languages.

Pulumi's schema has no unions, so each kind of store has its own component, for example CorefluxSecretsAws.
"""

import json
from collections.abc import Mapping
from enum import Enum
from importlib.metadata import version
from typing import Any

import pulumi
from coreflux_mcp_secrets import CorefluxSecrets
from pulumi.provider.experimental import component_provider_host
from sections import ARGUMENTS


class Outputs(pulumi.ComponentResource):
    """Outputs of each component: locations and names, never a secret value."""

    environment: pulumi.Output[str]
    """development, staging or production."""
    secretops: pulumi.Output[str]
    """The manifest as JSON. Export it as `secretops`, so that the command `secretops` finds it."""
    server: pulumi.Output[str]
    """The URL for MCP clients."""
    gaps: pulumi.Output[dict[str, str]]
    """Limitations of the store."""
    next: pulumi.Output[str]
    """What an operator does after the deployment."""


def component(kind: str, arguments: type) -> type[Outputs]:
    def construct(self: Outputs, name: str, args: Any, opts: pulumi.ResourceOptions | None = None) -> None:
        pulumi.ComponentResource.__init__(self, f"coreflux-mcp-secrets:index:{called}", name, None, opts)
        sections = plain(args)
        sections["store"] = {"kind": kind, **sections["store"]}
        made = CorefluxSecrets(name, sections, pulumi.ResourceOptions(parent=self))
        self.environment, self.server, self.gaps, self.next = made.environment, made.server, made.gaps, made.next
        self.secretops = made.secretops.apply(json.dumps)
        self.register_outputs({key: getattr(self, key) for key in Outputs.__annotations__})

    called = f"CorefluxSecrets{kind.capitalize()}"
    construct.__annotations__ = {"args": arguments}
    words = {
        "__init__": construct,
        "__module__": __name__,
        "__doc__": f"The secrets of a Coreflux MCP server in {kind}.",
    }
    return type(called, (Outputs,), words)


def plain(entry: Any) -> Any:
    """Return an argument with each enum replaced by its value."""
    match entry:
        case Enum():
            return entry.value
        case Mapping():
            return {key: plain(inner) for key, inner in entry.items() if inner is not None}
        case list() | tuple():
            return [plain(inner) for inner in entry]
    return entry


if __name__ == "__main__":
    components = [component(kind, arguments) for kind, arguments in ARGUMENTS.items()]
    component_provider_host(components, name="coreflux-mcp-secrets", version=version("coreflux-mcp-secrets"))
