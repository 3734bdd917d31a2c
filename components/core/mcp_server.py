"""The server: where the MCP server runs, and under which identity."""

from __future__ import annotations

import pulumi


class McpServer(pulumi.ComponentResource):
    """What every platform's server component gives."""

    endpoint: pulumi.Input[str]
    """How an MCP client reaches it: a URL, or the path of a client entry."""
