"""Over HTTP one server has many clients on one connection to the broker. The tools that change it are not for them.

After `mqtt_connect` by one client all of them are on its broker and user, and later versions are not taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

# Upstream's tools that choose another broker or user, and the one that ends the connection for a second.
CONNECTION_TOOLS = frozenset({"mqtt_connect", "setup_mqtt_connection", "reconnect_mqtt"})


def refuse_connection_tools(mcp: FastMCP) -> None:
    """Take CONNECTION_TOOLS out of the tools that `mcp` lists, and answer calls of them with the reason."""
    from mcp import types

    handlers = mcp._mcp_server.request_handlers
    call, list_all = handlers[types.CallToolRequest], handlers[types.ListToolsRequest]

    async def call_unless_refused(request: types.CallToolRequest) -> types.ServerResult:
        if (name := request.params.name) not in CONNECTION_TOOLS:
            return await call(request)
        reason = (
            f"ERROR: {name} is refused over HTTP: it would change the broker connection of all clients. "
            "The server connects by itself, and again when the connection is lost. "
            "-> the operator can allow it: secretops run --allow-connection-tools"
        )
        return types.ServerResult(
            types.CallToolResult(content=[types.TextContent(type="text", text=reason)], isError=True)
        )

    async def list_the_others(request: types.ListToolsRequest) -> types.ServerResult:
        listed: Any = await list_all(request)
        listed.root.tools = [tool for tool in listed.root.tools if tool.name not in CONNECTION_TOOLS]
        return types.ServerResult(listed.root)

    handlers[types.CallToolRequest] = call_unless_refused
    handlers[types.ListToolsRequest] = list_the_others
