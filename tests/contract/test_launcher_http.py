"""The launcher's process over SSE and streamable HTTP, with the mcp package's clients and a real broker."""

import contextlib
import json
import re
import resource
import secrets
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import anyio
import httpx
import pytest
from mcp import ClientSession
from mcp.client.sse import sse_client
from mcp.shared.exceptions import McpError

from secretops.launcher.limits import MAX_CONNECTIONS, RESERVED_DESCRIPTORS
from secretops.values import Value
from tests.real.launched import DEADLINE, RealBroker, command, environment, let_in, until
from tests.real.mcp_client import call_tool, http_session
from tests.real.upstream import SMALL_SERVER
from tests.real.witness import Witness

pytestmark = pytest.mark.real

USER = "server-a"
# secretops whose launcher waits for a call as long as the call takes.
PATIENT = """
import sys
from secretops.launcher import drain, stdio
drain.CALL_SECONDS, stdio.LAST_SECONDS = 600, 3600
del sys.argv[1:4]
from secretops.cli import main
main()
"""


@dataclass
class Launched:
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
    until = staticmethod(until)

    def env(self, **variables: str) -> None:
        """Write config/.env as the store does: the whole file, with one rename."""
        lines = {
            "MQTT_BROKER": "localhost", "MQTT_PORT": self.broker.port, "MQTT_PROTOCOL": self.broker.broker().protocol,
            "MQTT_USER": USER, "MQTT_PASSWORD": self.password, "SECRETOPS_VERSION_MQTT": "v-7",
            "MCP_HTTP_TOKEN": self.token, "SECRETOPS_VERSION_HTTP_TOKEN": "v-3", "LOG_LEVEL": "DEBUG",
        }  # fmt: skip
        text = "".join(f"{name}={value}\n" for name, value in (lines | variables).items())
        path = self.root / "config" / ".env"
        new = path.with_name(".env.new")
        new.touch(mode=0o600)
        new.write_text(text)
        new.replace(path)

    def start(self, transport: str, *, before: Sequence[str] = (), **variables: str) -> None:
        """Start the launcher, and wait until it listens and is ready. `before` is a prefix of its command."""
        self.transport = transport
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                [*before, *command(f"dotenv:{self.root}")],
                cwd=self.cwd,
                env=environment(self.server) | {"MCP_TRANSPORT": transport, "MCP_LISTEN": "127.0.0.1:0"} | variables,
                stdin=subprocess.DEVNULL,  # like a container's
                stdout=subprocess.DEVNULL,
                stderr=stderr,
            )
        until("it listens", lambda: "Listening on" in self.log() or self.ended())
        found = re.search(r"Listening on (http://\S+),", self.log())
        assert found, self.log()
        self.url = found[1]
        until("ready", lambda: self.ask("/readyz").status_code == 200)

    def ended(self) -> bool:
        assert self.process
        return self.process.poll() is not None

    def stop(self) -> None:
        if self.process and not self.ended():
            self.process.kill()
            self.process.wait(DEADLINE)

    def log(self) -> str:
        return self.stderr.read_text()

    def headers(self, token: str | None = None) -> dict[str, str]:
        return {"Authorization": f"Bearer {token or self.token}"}

    def send_bodies(self, length: str, refused: list[bool], stop: threading.Event) -> None:
        """Send bodies of 200 MB. The server answers each with 413, or closes the connection early."""
        part = b"x" * 65536 if "Length" in length else b"10000\r\n" + b"x" * 65536 + b"\r\n"
        head = f"POST /mcp HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {self.token}\r\n{length}\r\n\r\n"
        to = "127.0.0.1", int(self.url.rpartition(":")[2])
        while not stop.is_set():
            with contextlib.suppress(ConnectionError), socket.create_connection(to, timeout=DEADLINE) as sending:
                sending.sendall(head.encode())
                for _ in range(3200):
                    sending.sendall(part)
                assert b" 413 " in sending.recv(4096)
            refused.append(True)

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
    return await call_tool(session, "mqtt_publish", topic=topic, message=json.dumps({"text": text}), qos=1)


def test_client_with_the_token_lists_tools_and_publishes(launched: Launched, transport: str, witness: Witness) -> None:
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


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=pytest.mark.slow)])
def test_health_and_metrics_answer_while_a_tool_blocks_and_the_end_waits_for_none(
    number: signal.Signals, launched: Launched
) -> None:
    launched.start("http")

    async def scenario() -> None:
        async with launched.session() as session, anyio.create_task_group() as tasks:
            tasks.start_soon(lambda: call_tool(session, "mqtt_read_topic_once", topic="no/such", timeout=3600))
            blocked = "the tool blocks", lambda: "topic 'no/such' for one" in launched.log()
            await anyio.to_thread.run_sync(launched.until, *blocked)
            for path in ("/healthz", "/readyz", "/metrics"):
                answer = await anyio.to_thread.run_sync(launched.ask, path)
                assert answer.status_code == 200
            assert launched.process
            launched.process.send_signal(number)
            assert await anyio.to_thread.run_sync(launched.process.wait, DEADLINE) == 0
            tasks.cancel_scope.cancel()

    anyio.run(scenario)
    assert "Traceback" not in launched.log()


@pytest.mark.parametrize("allowed", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_tools_that_change_the_connection_of_all_clients_are_refused_unless_allowed(
    launched: Launched, allowed: bool
) -> None:
    launched.start("http", **({"MCP_ALLOW_CONNECTION_TOOLS": "true"} if allowed else {}))
    tools = {"mqtt_connect", "setup_mqtt_connection", "reconnect_mqtt"}
    supplied = {"broker": "localhost", "port": launched.broker.port, "username": USER, "password": launched.password}

    async def scenario() -> None:
        async with launched.session() as session:
            listed = {tool.name for tool in (await session.list_tools()).tools}
            assert bool(listed & tools) is allowed
            for tool in sorted(tools & listed if allowed else tools):
                reported = await call_tool(
                    session, tool, **(supplied if tool == "mqtt_connect" else {"broker": "localhost"})
                )
                assert ("is disabled over HTTP" in reported) is not allowed
                if allowed:
                    break
            assert "ublished" in await publish(session, "a/b", "still there")

    anyio.run(scenario)
    metrics = launched.ask("/metrics").text
    assert f"secretops_connection_by_tool {float(allowed)}" in metrics
    assert ('version="v-7"' in metrics) is not allowed


def raw_status(url: str, request: str) -> int:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=DEADLINE) as connection:
        connection.sendall(request.encode())
        return int(connection.recv(4096).split()[1])


def test_ambiguous_request_is_refused(launched: Launched) -> None:
    launched.start("http")
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
    accept = launched.headers() | {"Accept": "application/json, text/event-stream"}
    of_before = accept | {"Mcp-Session-Id": secrets.token_hex(16)}
    answer = httpx.post(f"{launched.url}/mcp", json=message, headers=of_before, timeout=DEADLINE)
    assert answer.status_code == 404, "on which a client begins a new session"
    assert httpx.post(f"{launched.url}/mcp/", json=message, headers=accept, timeout=DEADLINE).status_code == 400
    large = launched.headers() | {"Content-Length": str(200 * 1024 * 1024)}
    head = "".join(f"{name}: {text}\r\n" for name, text in large.items())
    assert raw_status(launched.url, f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{head}\r\nx") == 413
    assert raw_status(launched.url, "GET /healthz HTTP/1.0\r\n\r\n") == 200
    two = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    assert raw_status(launched.url, f"POST /mcp HTTP/1.1\r\nHost: localhost\r\n{two}") == 400


@pytest.mark.parametrize(
    ("idle", "descriptors"), [(300, 256), pytest.param(1300, 1024, marks=pytest.mark.slow)], ids=str
)
def test_idle_connections_take_nothing_from_a_client_with_the_token_or_a_rotation(
    launched: Launched, idle: int, descriptors: int
) -> None:
    users = {f"server-{number}": secrets.token_hex(20) for number in range(3)}
    for user, password in users.items():
        let_in(launched.broker, Value({"username": user, "password": password}))
    launched.start("http", before=["sh", "-c", f'ulimit -n {descriptors} && exec "$0" "$@"'])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    place, idle_ones, refused, stop = urlsplit(launched.url), list[socket.socket](), list[bool](), threading.Event()
    assert launched.process
    process = Path(f"/proc/{launched.process.pid}")
    own = len(list((process / "fd").iterdir()))

    def connect() -> None:
        for number in range(idle):
            idle_ones.append(socket.create_connection((place.hostname, place.port), timeout=DEADLINE))
            if number % 2:
                idle_ones[-1].sendall(b"GET /mcp HTTP/1.1\r\nHost: local")

    async def call(session: ClientSession) -> None:
        while not stop.is_set():
            assert "ublished" in await publish(session, "a/b", "there")

    async def scenario() -> None:
        async with launched.session() as session, anyio.create_task_group() as tasks:
            tasks.start_soon(anyio.to_thread.run_sync, connect)
            tasks.start_soon(call, session)
            for length in ("Content-Length: 209715200", "Transfer-Encoding: chunked") if idle > 1000 else ():
                tasks.start_soon(anyio.to_thread.run_sync, launched.send_bodies, length, refused, stop)
            try:
                for number, (user, launched.password) in enumerate(users.items()):
                    launched.env(MQTT_USER=user, SECRETOPS_VERSION_MQTT=f"v-{user}")
                    taken = f"Using version v-{user} of mqtt"
                    under_load = lambda: taken in launched.log() and (idle < 1000 or len(refused) > number)  # noqa: B023, E731
                    await anyio.to_thread.run_sync(launched.until, "it is taken", under_load)
                    assert int((process / "status").read_text().partition("VmRSS:")[2].split()[0]) <= 150 * 1024  # KB
                async with launched.session() as another:
                    assert (await another.list_tools()).tools
            finally:
                stop.set()
        assert len(idle_ones) == idle

    try:
        anyio.run(scenario)
        most = own + 20 + min(MAX_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS)  # draining MQTT clients have some
        assert len(list((process / "fd").iterdir())) <= most
        assert launched.ask("/readyz").status_code == 200
    finally:
        for each in idle_ones:
            each.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Traceback" not in launched.log()


@pytest.mark.slow
def test_new_version_is_used_without_file_watching(launched: Launched) -> None:
    forbid = "echo 0 > /proc/sys/user/max_inotify_instances"
    unshare = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    if subprocess.run([*unshare, forbid], check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody make a user namespace")
    launched.start("http", before=[*unshare, f'{forbid} && exec "$0" "$@"'])
    until("it polls", lambda: "Cannot watch" in launched.log())
    launched.env(SECRETOPS_VERSION_MQTT="v-8")
    until("it is taken", lambda: "Using version v-8 of mqtt" in launched.log())
    assert launched.ask("/readyz").status_code == 200


@pytest.mark.slow
def test_new_token_works_without_restart_and_the_old_one_for_a_while(launched: Launched, transport: str) -> None:
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
            assert (await session.list_tools()).tools  # with the previous token
        async with launched.session(new) as session:
            assert (await session.list_tools()).tools

    anyio.run(scenario)
    assert launched.ask("/anything", **launched.headers(secrets.token_hex(20))).status_code == 401
    assert new not in launched.log()


@pytest.mark.slow
def test_a_signal_ends_it_with_streams_open_and_the_call_under_way_answered(launched: Launched, transport: str) -> None:
    launched.start(transport, before=[sys.executable, "-c", PATIENT])
    answers: list[str] = []

    async def scenario() -> None:
        assert launched.process
        async with launched.session() as session, launched.session():
            await session.list_tools()  # else this client requests them after the answer, to check it

            async def call() -> None:
                answers.append(await call_tool(session, "mqtt_read_topic_once", topic="no/such", timeout=1))

            async with anyio.create_task_group() as tasks:
                tasks.start_soon(call)
                under_way = "the call is under way", lambda: "CallToolRequest" in launched.log()
                await anyio.to_thread.run_sync(launched.until, *under_way)
                launched.process.send_signal(signal.SIGTERM)
                assert await anyio.to_thread.run_sync(launched.process.wait, DEADLINE) == 0

    with contextlib.suppress(httpx.HTTPError, anyio.BrokenResourceError, anyio.ClosedResourceError, McpError):
        anyio.run(scenario)  # so the clients see the end of their streams
    assert launched.process and launched.process.returncode == 0, launched.log()
    assert len(answers) == 1
    assert "Traceback" not in launched.log()


@pytest.mark.slow
def test_the_token_is_in_no_log_argument_environment_or_metric(launched: Launched, transport: str) -> None:
    launched.start(transport)
    words = secrets.token_hex(20)  # of a call, which the launcher logs at no level

    async def scenario() -> None:
        async with launched.session() as session:
            await publish(session, "test/echo", words)

    anyio.run(scenario)
    stranger = secrets.token_hex(20)  # which no redaction knows: perhaps another system's
    launched.ask(f"/{stranger}?token={stranger}", **launched.headers(stranger))
    assert "Request refused" in launched.log()
    launched.ask(f"/mcp?token={launched.token}", **launched.headers(f"{launched.token}0"))
    launched.ask(f"/{launched.token}", **launched.headers())
    assert launched.process
    seen = [Path(f"/proc/{launched.process.pid}/cmdline").read_bytes()]
    with contextlib.suppress(PermissionError):  # it removes its own account's rights; root may read
        seen.append(Path(f"/proc/{launched.process.pid}/environ").read_bytes())
    seen += [launched.ask("/metrics").content, launched.ask("/readyz").content, launched.stderr.read_bytes()]
    assert all(seen)
    leaks = [secret.encode() in part for part in seen for secret in (launched.token, launched.password, stranger)]
    if launched.server == SMALL_SERVER:  # upstream has its own log
        leaks.append(words.encode() in launched.stderr.read_bytes())
    assert sum(leaks) == 0  # a failed assertion prints its parts
    assert list(launched.cwd.iterdir()) == []
