"""Run the launcher on a stack, over either transport, with MCP clients."""

import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import httpx
from dotenv import dotenv_values

from secretops.engine.state import Replica, Version
from secretops.targets.reports import read_reports
from secretops.values import new_password
from tests.real.cloud_stack import CloudStack
from tests.real.launched import command, environment
from tests.real.load import CLIENTS, DEADLINE, Seat
from tests.real.mcp_client import http_session, stdio_session
from tests.real.mosquitto import Mosquitto
from tests.real.stack import Stack, make_stack

GRACE = 3600  # Seconds, longer than any run: a rotation retires a user only after servers report.
TOKEN = "MCP_HTTP_TOKEN"


def polling(every: float = 0.5) -> str:
    """Return a script: secretops whose launcher polls a cloud's store every `every` seconds, not every 5 minutes."""
    return f"""
from secretops.launcher.polling_source import PollingSource
plain = PollingSource.__init__
PollingSource.__init__ = lambda self, *args, **named: plain(self, *args, **{{**named, "every": {every}}})
from secretops.cli import main
main()
"""


def prepared_stack(root: Path, mosquitto: Mosquitto) -> Stack:
    """Return a stack whose server logs in with a password and a client certificate, and requires a token over HTTP."""
    stack = make_stack(root, mosquitto.broker(), grace_seconds=GRACE)
    stack.manifest = stack.manifest.model_copy(update={"replicas": 1})
    stack.file.write_text(stack.manifest.model_dump_json())
    stack.put("broker-admin", dict(mosquitto.admin))
    more = {**public(mosquitto), TOKEN: new_password()}
    stack.env.write_text(stack.env.read_text() + "".join(f"{name}={text}\n" for name, text in more.items()))
    fill(stack, mosquitto)
    return stack


def prepared_cloud_stack(stack: CloudStack, mosquitto: Mosquitto) -> CloudStack:
    stack.manifest = stack.manifest.model_copy(update={"grace_seconds": GRACE, "replicas": 1})
    fill(stack, mosquitto)
    return stack


def public(mosquitto: Mosquitto) -> dict[str, str]:
    return {"MQTT_PORT": str(mosquitto.mutual_port), "MQTT_USE_TLS": "true", "MQTT_PROTOCOL": "5"}


def fill(stack: Stack, mosquitto: Mosquitto) -> None:
    stack.put("client-cert", mosquitto.client_certificate())
    stack.put("agent-key", {"api-key": new_password()})
    stack.rotate()


@dataclass
class ServedByLauncher:
    """`secretops run` on a stack, with its log in a file."""

    stack: Stack
    folder: Path  # Its working directory, which has its log.
    server: Path
    # Settings of the server in its environment. A folder's stack has them in config/.env.
    public: dict[str, str] = field(default_factory=dict)
    every: float = 0.5  # Seconds between two polls of a cloud's store.

    @property
    def token(self) -> str:
        return "" if isinstance(self.stack, CloudStack) else str(dotenv_values(self.stack.env)[TOKEN])

    @property
    def command(self) -> list[str]:
        if isinstance(self.stack, CloudStack):
            usual = command(self.stack.source)
            return [sys.executable, "-c", polling(self.every), *usual[3:]]
        return command(f"dotenv:{self.stack.root}")

    @property
    def environment(self) -> dict[str, str]:
        reader = self.stack.reader if isinstance(self.stack, CloudStack) else {}
        return environment(self.server) | self.public | reader

    @property
    def log_file(self) -> Path:
        return self.folder / "log"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    @asynccontextmanager
    async def seats(self, transport: str, clients: int = CLIENTS) -> AsyncIterator[list[Seat]]:
        """Start the launcher, and connect clients: over HTTP with a bearer token, over stdio a single one."""
        if transport == "stdio":
            async with stdio_session(self.command, self.environment, self.folder, self.log_file) as session:
                yield [Seat(session)]
            return
        async with self.listening() as url, AsyncExitStack() as sessions:
            opened = [await sessions.enter_async_context(http_session(url, self.token)) for _ in range(clients)]
            yield [Seat(session) for session in opened]

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[str]:
        """Run the launcher over streamable HTTP, and yield its URL. Its exit code must be 0."""
        with self.log_file.open("w") as stderr:
            process = subprocess.Popen(
                [*self.command, "--transport", "http", "--listen", "127.0.0.1:0"],
                cwd=self.folder,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        try:
            await self.until("it listens", lambda: "Listening on" in self.log or process.poll() is not None)
            found = re.search(r"Listening on (http://\S+),", self.log)
            assert found, self.log
            await self.until("it is ready", lambda: httpx.get(f"{found[1]}/readyz", timeout=DEADLINE).is_success)
            yield found[1]
        finally:
            process.terminate()
            code = await anyio.to_thread.run_sync(lambda: process.wait(DEADLINE))
        assert code == 0, self.log

    async def until(self, what: str, check: Callable[[], bool]) -> None:
        with anyio.move_on_after(DEADLINE):
            while not await anyio.to_thread.run_sync(check):
                await anyio.sleep(0.05)
            return
        raise AssertionError(f"not within {DEADLINE} s: {what}\n{self.log[-3000:]}")

    async def until_logged(self, text: str) -> None:
        await self.until(text, lambda: text in self.log)

    async def takes(self, secret: str, version: Version) -> None:
        await self.until_logged(f"Using version {version.id} of {secret}")
        await self.until("its end", lambda: self.log.count("MQTT client has disconnected") == len(self.swaps()))

    async def refuses(self, reported: str) -> None:
        await self.until_logged(reported)

    async def recovers(self) -> None:
        """Do nothing. The launcher needs no restart after a change."""

    def reports(self) -> tuple[Replica, ...]:
        users = self.stack.manifest.secret("mqtt").users
        return read_reports(self.stack.manifest.broker, self.stack.credential(), users)

    def swaps(self) -> list[int]:
        """Return the milliseconds of each swap, from the new MQTT client's first packet until the server uses the
        client."""
        return [int(found) for found in re.findall(r"Swapped the MQTT client in (\d+) ms", self.log)]
