"""The baseline of the comparison: the upstream server without the launcher, and an operator who restarts it after each
change.

The server is started as its README describes. It supports only stdio, so each client needs its own process. Here all
clients share one process and one session, which favors the baseline. The simulated operator notices each change at
once.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
from dotenv import dotenv_values
from mcp import ClientSession

from secretops.engine.state import Version
from tests.real.load import CLIENTS, Seat
from tests.real.mcp_client import call_tool, stdio_session
from tests.real.stack import Stack

# What the server reads from its environment (its server.py:236).
VARIABLES = (
    "MQTT_BROKER", "MQTT_PORT", "MQTT_USER", "MQTT_PASSWORD", "MQTT_USE_TLS", "MQTT_CA_CERT", "MQTT_CLIENT_CERT",
    "MQTT_CLIENT_KEY", "DO_AGENT_API_KEY", "LOG_LEVEL",
)  # fmt: skip

# `python server.py` on the launcher's version of mcp, which does not accept the argument `description`.
RUN = """
import runpy, sys
from pathlib import Path
from mcp.server import fastmcp
plain = fastmcp.FastMCP
fastmcp.FastMCP = lambda *given, description, **named: plain(*given, **named)
sys.argv = sys.argv[1:]
sys.path[0] = str(Path(sys.argv[0]).parent)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@dataclass
class Baseline:
    """The upstream server with the variables of the stack's config/.env at each start. Has the methods of
    ServedByLauncher."""

    stack: Stack
    folder: Path  # Its working directory, where it writes its log.
    server: Path
    seat: Seat = field(default_factory=Seat)
    restarts: int = 0
    _again: anyio.Event = field(default_factory=anyio.Event)
    _serving: anyio.Event = field(default_factory=anyio.Event)
    _ending: bool = False

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ClientSession]:
        values = dotenv_values(self.stack.env)
        env = {name: text for name in VARIABLES if (text := values.get(name))}
        env |= {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        command = [sys.executable, "-c", RUN, str(self.server / "server.py")]
        # Its folder is a user's checkout: no bytecode next to its source.
        env["PYTHONDONTWRITEBYTECODE"] = "1"
        async with stdio_session(command, env, self.folder, self.folder / "stderr") as session:
            yield session

    @asynccontextmanager
    async def seats(self, _transport: str = "stdio") -> AsyncIterator[list[Seat]]:
        """Yield the one client that all users share. Restart the server after each change, until the block ends."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve)
            await self._serving.wait()
            yield [self.seat]
            self._ending = True
            self._again.set()

    async def takes(self, secret: str, _version: Version) -> None:
        await self._restart()
        if secret == "mqtt":  # nosec B105 - a name
            self.stack.skip_grace()  # nobody uses the previous version

    async def refuses(self, _told: str) -> None:
        await self._restart()

    async def recovers(self) -> None:
        await self._restart()

    async def _serve(self) -> None:
        while not self._ending:
            try:
                await self._serve_once()
            except* anyio.BrokenResourceError:
                pass  # mcp's client raises it for an answer to a call that the shutdown cancelled

    async def _serve_once(self) -> None:
        async with self.session() as session:
            for client in range(CLIENTS):
                await call_tool(session, "mqtt_subscribe", topic=f"feed/{client}/#", qos=1)
            self.seat.give(session)
            self._serving.set()
            await self._again.wait()
            self._again = anyio.Event()
            self.seat.take()

    async def _restart(self) -> None:
        self.restarts += 1
        self._serving = anyio.Event()
        self._again.set()
        await self._serving.wait()
