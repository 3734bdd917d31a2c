"""The upstream server without the launcher, as its README starts it, and an operator who restarts it at each change.

It speaks stdio alone, and takes its credentials from its environment alone: these are throwaway ones of a throwaway
broker. stdio has one client, so four clients of it would be four processes. Here one process and one session are
shared by all, which is kind to it: one start at each change instead of four. The operator is the quickest there is: he
knows of a change when it is made, and subscribes again for everybody.
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
from tests.real.mcp_client import stdio_session, tell
from tests.real.stack import Stack

VARIABLES = (
    "MQTT_BROKER",
    "MQTT_PORT",
    "MQTT_USER",
    "MQTT_PASSWORD",
    "MQTT_USE_TLS",
    "MQTT_CA_CERT",
    "MQTT_CLIENT_CERT",
    "MQTT_CLIENT_KEY",
    "DO_AGENT_API_KEY",
    "LOG_LEVEL",
)
"""What the server reads (its server.py:236), in this order."""

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
"""`python server.py` on the mcp that the launcher runs it on, which does not take `description`."""


@dataclass
class BareServer:
    """`python server.py` on what a stack's config/.env says at the moment of each start."""

    stack: Stack
    folder: Path
    """Its working directory, where it writes its own log."""
    server: Path
    seat: Seat = field(default_factory=Seat)
    restarts: int = 0
    _again: anyio.Event = field(default_factory=anyio.Event)
    _serving: anyio.Event = field(default_factory=anyio.Event)
    _ending: bool = False

    @asynccontextmanager
    async def session(self) -> AsyncIterator[ClientSession]:
        """Start it once."""
        values = dotenv_values(self.stack.env)
        env = {name: text for name in VARIABLES if (text := values.get(name))}
        kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
        command = [sys.executable, "-c", RUN, str(self.server / "server.py")]
        # Its folder is somebody's checkout: no bytecode beside its source.
        env |= kept | {"PYTHONDONTWRITEBYTECODE": "1"}
        async with stdio_session(command, env, self.folder, self.folder / "stderr") as session:
            yield session

    @asynccontextmanager
    async def seats(self) -> AsyncIterator[list[Seat]]:
        """It serves, from one restart to the next."""
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._serve)
            await self._serving.wait()
            yield [self.seat]
            self._ending = True
            self._again.set()

    async def takes(self, secret: str, _version: Version) -> None:
        await self._restart()
        if secret == "mqtt":  # nosec B105 - a name
            self.stack.skip_grace()  # nobody is on the version before

    async def refuses(self, _told: str) -> None:
        await self._restart()

    async def recovers(self) -> None:
        await self._restart()

    async def _serve(self) -> None:
        while not self._ending:
            try:
                await self._serve_once()
            except* anyio.BrokenResourceError:
                pass  # of mcp's own client: an answer came to a call that the end has cut off

    async def _serve_once(self) -> None:
        async with self.session() as session:
            for client in range(CLIENTS):
                await tell(session, "mqtt_subscribe", topic=f"feed/{client}/#", qos=1)
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
