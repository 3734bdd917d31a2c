"""Over HTTP one server has many clients on one connection to the broker. The tools that change it are not for them.

After `mqtt_connect` by one client all of them are on its broker and user, and later versions are not taken.
"""

from __future__ import annotations

from typing import Any

from secretops.launcher.upstream import UpstreamServer

# Upstream's tools that choose another broker or user, and the one that ends the connection for a second.
CONNECTION_TOOLS = frozenset({"mqtt_connect", "setup_mqtt_connection", "reconnect_mqtt"})


def refuse_connection_tools(server: UpstreamServer) -> None:
    """Remove CONNECTION_TOOLS from the tools that `server` lists, and answer calls of them with the reason.

    Its tool check_broker_health calls the function `reconnect_mqtt` while the connection is down; that gets the same
    answer.
    """
    from mcp import types

    handlers = server.mcp._mcp_server.request_handlers
    call, list_all = handlers[types.CallToolRequest], handlers[types.ListToolsRequest]

    async def call_unless_refused(request: types.CallToolRequest) -> types.ServerResult:
        if (name := request.params.name) not in CONNECTION_TOOLS:
            return await call(request)
        return types.ServerResult(
            types.CallToolResult(content=[types.TextContent(type="text", text=_refusal(name))], isError=True)
        )

    async def list_the_others(request: types.ListToolsRequest) -> types.ServerResult:
        listed: Any = await list_all(request)
        listed.root.tools = [tool for tool in listed.root.tools if tool.name not in CONNECTION_TOOLS]
        return types.ServerResult(listed.root)

    handlers[types.CallToolRequest] = call_unless_refused
    handlers[types.ListToolsRequest] = list_the_others

    async def refuse_reconnect(*_: Any) -> str:
        return _refusal("reconnect_mqtt")

    server.reconnect_mqtt = refuse_reconnect


def _refusal(tool: str) -> str:
    return (
        f"ERROR: {tool} is refused over HTTP: it would change the broker connection of all clients. "
        "The server connects by itself, and again when the connection is lost. "
        "-> the operator can allow it: secretops run --allow-connection-tools"
    )
