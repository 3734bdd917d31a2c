from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import httpx
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared._httpx_utils import create_mcp_http_client
from mcp.types import TextContent

from tests.real.launched import DEADLINE


@asynccontextmanager
async def stdio_session(command: list[str], env: dict[str, str], cwd: Path, log: Path) -> AsyncIterator[ClientSession]:
    """Start the launcher and connect to it. Its standard error goes to `log`."""
    parameters = StdioServerParameters(command=command[0], args=command[1:], env=env, cwd=cwd)
    with log.open("w") as stderr:
        async with (
            stdio_client(parameters, errlog=stderr) as (read, write),
            ClientSession(read, write, read_timeout_seconds=timedelta(seconds=DEADLINE)) as session,
        ):
            await session.initialize()
            yield session


async def call_tool(session: ClientSession, tool: str, **arguments: object) -> str:
    """Call a tool. Return the text of its answer."""
    answer = await session.call_tool(tool, arguments)
    return "\n".join(part.text for part in answer.content if isinstance(part, TextContent))


@asynccontextmanager
async def http_session(url: str, token: str) -> AsyncIterator[ClientSession]:
    headers = {"Authorization": f"Bearer {token}"}
    async with (
        create_mcp_http_client(headers, httpx.Timeout(DEADLINE)) as client,
        streamable_http_client(f"{url}/mcp", http_client=client) as (read, write, _),
        ClientSession(read, write, read_timeout_seconds=timedelta(seconds=DEADLINE)) as session,
    ):
        await session.initialize()
        yield session
