"""The launcher over SSE and streamable HTTP: the mcp package's own clients against its process, with a real broker."""

from __future__ import annotations

import contextlib
import json
import re
import secrets
import signal
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import anyio
import httpx
import pytest
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.shared.exceptions import McpError

from secretops.values import Value
from tests.real.launched import (
    DEADLINE,
    RealBroker,
    command,
    environment,
    let_in,
)
from tests.real.mcp_client import http_session, tell
from tests.real.upstream import SMALL_SERVER
from tests.real.witness import Witness

pytestmark = pytest.mark.real

USER = "server-a"
LONGEST_END = 30
"""Seconds until a launcher that hangs counts as one that does not end. Its promise are 5; the machine may be busy."""


@dataclass
class Launched:
    """The launcher as a process of its own, and what its clients need to know."""

    root: Path
    cwd: Path
    stderr: Path
    server: Path
    broker: RealBroker
    password: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    token: str = field(default_factory=lambda: secrets.token_hex(20), repr=False)
    process: subprocess.Popen[bytes] | None = None
    url: str = ""
    transport: str = ""

    def env(self, **variables: str) -> None:
        """Write config/.env as the store does: whole, in one rename."""
        lines = {
            "MQTT_BROKER": "localhost",
            "MQTT_PORT": self.broker.port,
            "MQTT_PROTOCOL": self.broker.broker().protocol,
            "MQTT_USER": USER,
            "MQTT_PASSWORD": self.password,
            "SECRETOPS_VERSION_MQTT": "v-7",
            "MCP_HTTP_TOKEN": self.token,
            "SECRETOPS_VERSION_HTTP_TOKEN": "v-3",
            "LOG_LEVEL": "DEBUG",
        }
        text = "".join(f"{name}={value}\n" for name, value in (lines | variables).items())
        path = self.root / "config" / ".env"
        new = path.with_name(".env.new")
        new.touch(mode=0o600)
        new.write_text(text)
        new.replace(path)

    def start(self, transport: str) -> None:
        """Start it, and wait until it says where it listens and is ready."""
        self.transport = transport
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command(f"dotenv:{self.root}"),
                cwd=self.cwd,
                env=environment(self.server) | {"MCP_TRANSPORT": transport, "MCP_LISTEN": "127.0.0.1:0"},
                stdin=subprocess.DEVNULL,  # as a container's is
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        self.until("it listens", lambda: "Listening on" in self.log() or self.ended())
        found = re.search(r"Listening on (http://\S+),", self.log())
        assert found, self.log()
        self.url = found[1]
        self.until("ready", lambda: self.ask("/readyz").status_code == 200)

    def ended(self) -> bool:
        assert self.process
        return self.process.poll() is not None

    def stop(self) -> None:
        if self.process and not self.ended():
            self.process.kill()
            self.process.wait(DEADLINE)

    def until(self, what: str, check: Callable[[], bool]) -> None:
        pause = threading.Event()
        end = time.monotonic() + DEADLINE
        while not check():
            assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
            pause.wait(0.05)

    def log(self) -> str:
        return self.stderr.read_text()

    def headers(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.token}"}

    def ask(self, path: str, **headers: str) -> httpx.Response:
        return httpx.get(f"{self.url}{path}", headers=headers, timeout=DEADLINE)

    @asynccontextmanager
    async def session(self, token: str | None = None) -> AsyncIterator[ClientSession]:
        if self.transport == "http":
            async with http_session(self.url, token or self.token) as session:
                yield session
            return
        client = sse_client(f"{self.url}/sse", headers=self.headers(token), timeout=DEADLINE)
        patience = timedelta(seconds=DEADLINE)
        async with client as (read, write), ClientSession(read, write, read_timeout_seconds=patience) as session:
            await session.initialize()
            yield session


@pytest.fixture
def launched(tmp_path: Path, server_folder: Path, broker: RealBroker) -> Iterator[Launched]:
    root, cwd = tmp_path / "root", tmp_path / "cwd"
    (root / "config").mkdir(parents=True, mode=0o700)
    cwd.mkdir()
    made = Launched(root, cwd, tmp_path / "stderr", server_folder, broker)
    let_in(broker, Value({"username": USER, "password": made.password}))
    made.env()
    yield made
    made.stop()


@pytest.fixture(params=[pytest.param("sse", marks=pytest.mark.slow), "http"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def publish(session: ClientSession, topic: str, text: str) -> str:
    return await tell(session, "mqtt_publish", topic=topic, message=json.dumps({"text": text}), qos=1)


def test_an_mcp_client_with_the_token_lists_tools_and_its_message_reaches_another_mqtt_client(
    launched: Launched, transport: str, witness: Witness
) -> None:
    launched.start(transport)

    async def scenario() -> None:
        async with launched.session() as session:
            tools = {tool.name for tool in (await session.list_tools()).tools}
            assert {"mqtt_publish", "mqtt_subscribe", "mqtt_read_messages"} <= tools
            await publish(session, "test/hello", "from an agent")

    anyio.run(scenario)
    topic, text = witness.messages.get(timeout=DEADLINE)
    assert (topic, "from an agent" in text) == ("test/hello", True)
    records = [json.loads(line) for line in (launched.root / "log" / "access.jsonl").read_text().splitlines()]
    assert {(it["operation"], it["secret"], it["version"], it["purpose"]) for it in records} == {
        ("read", "mqtt", "v-7", "serve"),
        ("read", "http-token", "v-3", "serve"),
    }


@pytest.mark.slow
def test_a_new_token_is_taken_without_a_restart_and_the_old_one_goes_on_for_a_while(
    launched: Launched, transport: str
) -> None:
    launched.start(transport)
    new = secrets.token_hex(20)

    async def scenario() -> None:
        async with launched.session() as session:
            launched.env(MCP_HTTP_TOKEN=new, SECRETOPS_VERSION_HTTP_TOKEN="v-4")
            await anyio.to_thread.run_sync(
                launched.until,
                "the new token is accepted",
                lambda: launched.ask("/anything", **launched.headers(new)).status_code == 404,
            )
            assert (await session.list_tools()).tools  # on the token before
        async with launched.session(new) as session:
            assert (await session.list_tools()).tools

    anyio.run(scenario)
    assert launched.ask("/anything", **launched.headers(secrets.token_hex(20))).status_code == 401
    assert new not in launched.log()


@pytest.mark.slow
def test_a_signal_ends_it_in_time_with_streams_open_and_the_call_under_way_answered(
    launched: Launched, transport: str
) -> None:
    launched.start(transport)
    answers: list[str] = []

    async def scenario() -> None:
        assert launched.process
        async with launched.session() as session, launched.session():
            await session.list_tools()  # else this client asks for them after the answer, to check it

            async def call() -> None:
                answers.append(await tell(session, "reconnect_mqtt"))  # takes about a second

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                under_way = "the call is under way", lambda: "CallToolRequest" in launched.log()
                await anyio.to_thread.run_sync(launched.until, *under_way)
                launched.process.send_signal(signal.SIGTERM)
                assert await anyio.to_thread.run_sync(launched.process.wait, LONGEST_END) == 0

    with contextlib.suppress(httpx.HTTPError, anyio.BrokenResourceError, anyio.ClosedResourceError, McpError):
        anyio.run(scenario)  # so the clients see the end of their streams
    assert launched.process and launched.process.returncode == 0, launched.log()
    assert len(answers) == 1
    assert "Traceback" not in launched.log()


@pytest.mark.slow
def test_the_token_is_in_no_log_argument_environment_or_metric(launched: Launched, transport: str) -> None:
    launched.start(transport)
    words = secrets.token_hex(20)  # of a call, which the launcher does not log at any level

    async def scenario() -> None:
        async with launched.session() as session:
            await publish(session, "test/echo", words)

    anyio.run(scenario)
    stranger = secrets.token_hex(20)  # which no redaction knows: perhaps another system's
    launched.ask(f"/{stranger}?token={stranger}", **launched.headers(stranger))
    assert "was refused" in launched.log()
    launched.ask(f"/mcp?token={launched.token}", **launched.headers(f"{launched.token}0"))
    launched.ask(f"/{launched.token}", **launched.headers())
    assert launched.process
    seen = [Path(f"/proc/{launched.process.pid}/cmdline").read_bytes()]
    with contextlib.suppress(PermissionError):  # it forbids its own account to look; root may
        seen.append(Path(f"/proc/{launched.process.pid}/environ").read_bytes())
    seen += [launched.ask("/metrics").content, launched.ask("/readyz").content, launched.stderr.read_bytes()]
    assert all(seen)
    leaks = [secret.encode() in part for part in seen for secret in (launched.token, launched.password, stranger)]
    if launched.server == SMALL_SERVER:  # upstream has a log of its own
        leaks.append(words.encode() in launched.stderr.read_bytes())
    assert sum(leaks) == 0  # a failed assertion prints its parts
    assert list(launched.cwd.iterdir()) == []
