"""The launcher over stdio, with a real broker and the mcp package's client: start, end, and changes of values. The
server is upstream's if available, otherwise tests/real/small_server."""

import json
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp import ClientSession

from secretops.launcher.upstream import AgentRequests
from secretops.targets.reports import read_reports
from secretops.values import Value
from tests.real.launched import (
    DEADLINE,
    ON_BOTH_BROKERS,
    ON_UPSTREAMS_SERVER,
    ONE_BROKER,
    WITNESS,
    RealBroker,
    command,
    environment,
    let_in,
)
from tests.real.mcp_client import call_tool, stdio_session
from tests.real.mosquitto import start_mosquitto
from tests.real.upstream import SMALL_SERVER
from tests.real.witness import Witness

pytestmark = pytest.mark.real

TAKEN, REFUSED = "Swapped", "A new version was rejected"

ENV = "file:{}/.env"


@dataclass
class Launched:
    """A launcher's process, its folder of values, and its output."""

    folder: Path
    cwd: Path
    broker: RealBroker
    server: Path

    @property
    def public(self) -> dict[str, str]:
        protocol = str(self.broker.broker().protocol)
        return {"MQTT_BROKER": "localhost", "MQTT_PORT": str(self.broker.port), "MQTT_PROTOCOL": protocol}

    def user(self, name: str, password: str | None = None) -> str:
        """Create a user of the broker. Return its password."""
        made = password or secrets.token_hex(20)
        let_in(self.broker, Value({"username": name, "password": made}))
        return made

    def env(self, user: str, password: str, at: str = ".env", **more: str) -> None:
        lines = {**self.public, "MQTT_USER": user, "MQTT_PASSWORD": password, "SECRETOPS_VERSION_MQTT": f"of-{user}"}
        path = self.folder / at
        path.parent.mkdir(exist_ok=True, mode=0o700)
        path.write_text("".join(f"{name}={text}\n" for name, text in (lines | more).items()))

    def add(self, lines: str) -> None:
        with (self.folder / ".env").open("a") as file:
            file.write(f"{lines}\n")

    @property
    def environment(self) -> dict[str, str]:
        return environment(self.server) | self.public | {"LOG_LEVEL": "INFO"}

    @property
    def log(self) -> str:
        return (self.cwd.parent / "stderr").read_text()

    def command(self, source: str) -> list[str]:
        return command(source.format(self.folder))

    @contextmanager
    def process(self, *, serves: bool = True) -> Iterator[subprocess.Popen[bytes]]:
        """Yield the launcher as a process; by default once it serves."""
        pipe = subprocess.PIPE
        with (self.cwd.parent / "stderr").open("wb") as stderr:
            process = subprocess.Popen(
                self.command(ENV), cwd=self.cwd, env=self.environment, stdin=pipe, stdout=pipe, stderr=stderr
            )
        with process:
            try:
                if serves and process.stdin and process.stdout:
                    process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
                    process.stdin.flush()
                    assert process.stdout.readline()
                yield process
            finally:
                process.kill()

    def run(self, scenario: Callable[[ClientSession], object], source: str = ENV) -> None:
        """Run `scenario` as the launcher's MCP client. The launcher's log must have no traceback at the end."""

        async def both() -> None:
            log = self.cwd.parent / "stderr"
            async with stdio_session(self.command(source), self.environment, self.cwd, log) as session:
                await scenario(session)  # type: ignore[misc]

        anyio.run(both)
        assert "Traceback" not in self.log

    def reports(self) -> dict[str, str]:
        """Return broker user -> reported version, as a rotator reads them."""
        users = ["server-a", "server-b"]
        return {one.user: one.version for one in read_reports(self.broker.broker(), WITNESS, users)}

    async def until(self, what: str, check: Callable[[], bool]) -> None:
        with anyio.move_on_after(DEADLINE):
            while not await anyio.to_thread.run_sync(check):
                await anyio.sleep(0.05)
            return
        pytest.fail(f"not within {DEADLINE} s: {what}\n{self.log[-3000:]}")

    async def until_logged(self, text: str) -> None:
        await self.until(text, lambda: text in self.log)


@pytest.fixture
def launched(tmp_path: Path, server_folder: Path, broker: RealBroker) -> Launched:
    made = Launched(tmp_path / "place", tmp_path / "cwd", broker, server_folder)
    made.folder.mkdir()
    made.cwd.mkdir()
    return made


async def publish(session: ClientSession, topic: str = "a/b") -> bool:
    return "ublished" in await call_tool(session, "mqtt_publish", topic=topic, message='{"n": 1}', qos=1)


async def until_connected(session: ClientSession) -> None:
    with anyio.fail_after(DEADLINE):
        while not await publish(session, "other/probe"):
            await anyio.sleep(0.1)


async def until_heard(session: ClientSession, topic: str, text: str) -> None:
    with anyio.fail_after(DEADLINE):
        while text not in await call_tool(session, "mqtt_read_messages", topic=topic):
            await anyio.sleep(0.05)


@pytest.mark.parametrize("broker", [ONE_BROKER, pytest.param("embedded", marks=pytest.mark.slow)], indirect=True)
def test_an_mcp_client_lists_tools_and_its_message_reaches_another_mqtt_client(
    launched: Launched, witness: Witness
) -> None:
    launched.env("server-a", launched.user("server-a"), "config/.env")

    async def scenario(session: ClientSession) -> None:
        tools = {tool.name for tool in (await session.list_tools()).tools}
        assert {"mqtt_publish", "mqtt_subscribe", "mqtt_read_messages"} <= tools
        assert await publish(session, "test/hello")

    launched.run(scenario, "dotenv:{}")
    assert witness.messages.get(timeout=DEADLINE)[0] == "test/hello"
    records = [json.loads(line) for line in (launched.folder / "log" / "access.jsonl").read_text().splitlines()]
    assert [(it["operation"], it["secret"], it["version"]) for it in records] == [("read", "mqtt", "of-server-a")]
    assert records[0]["actor"].startswith("server:")


@pytest.mark.slow
@pytest.mark.parametrize("server_folder", ["small", "upstream"], indirect=True)
def test_the_password_is_in_no_environment_argument_or_log_and_no_file_appears(
    launched: Launched, witness: Witness
) -> None:
    password = launched.user("server-a")
    launched.env("server-a", password, LOG_LEVEL="DEBUG", DO_AGENT_API_KEY=f"{password}key")
    before = sorted(launched.server.rglob("*"))
    seen: list[bytes] = []

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        await call_tool(session, "reconnect_mqtt")
        if launched.server == SMALL_SERVER:
            seen.append((await call_tool(session, "environment")).encode())
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (entry / "cmdline").read_bytes()
                if str(launched.folder).encode() in arguments:
                    seen.extend([arguments, (entry / "environ").read_bytes()])
            except OSError:
                continue

    launched.run(scenario)
    assert b"COREFLUX_SERVER_DIR" in b"".join(seen)
    seen.append(launched.log.encode())
    leaks = sum(password.encode() in part for part in seen)  # a failed assertion prints its parts
    assert leaks == 0
    assert list(launched.cwd.iterdir()) == [] and sorted(launched.server.rglob("*")) == before


@pytest.mark.slow
@ON_BOTH_BROKERS
def test_subscriptions_survive_a_late_and_interrupted_broker(launched: Launched) -> None:
    launched.env("server-a", launched.user("server-a"))
    broker = launched.broker
    broker.stop()

    async def scenario(session: ClientSession) -> None:
        assert broker.start()
        await until_connected(session)
        await call_tool(session, "mqtt_subscribe", topic="test/in", qos=1)
        broker.stop()
        assert broker.start()
        await until_connected(session)
        with Witness(broker.broker(), WITNESS) as witness:
            witness.say("test/in", "again")
            await until_heard(session, "test/in", "again")

    launched.run(scenario)


@pytest.mark.slow
@pytest.mark.parametrize(("host", "accepted"), [("localhost", True), ("other.example", False)])
def test_tls_takes_a_broker_only_when_its_certificate_names_the_host(
    host: str, accepted: bool, server_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "tls").mkdir()
    broker = start_mosquitto(tmp_path / "tls", certified=host)
    launched = Launched(tmp_path / "place", tmp_path / "cwd", broker, server_folder)
    launched.cwd.mkdir()
    password = launched.user("server-a") if accepted else secrets.token_hex(20)
    launched.env("server-a", password, MQTT_USE_TLS="true", MQTT_CA_CERT=str(broker.ca_file))

    async def scenario(session: ClientSession) -> None:
        if accepted:
            await until_connected(session)
        else:
            assert "Hostname mismatch" in await call_tool(session, "get_connection_status")

    try:
        launched.run(scenario)
    finally:
        broker.stop()


def mounted_by_kubelet(launched: Launched, user: str, password: str) -> None:
    folder = launched.folder
    version = folder / f"..{secrets.token_hex(4)}"
    version.mkdir()
    for name, text in (("user", user), ("version", f"of-{user}"), ("password", password)):
        (version / f"mqtt-{name}").write_text(text)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in ("mqtt-user", "mqtt-password", "mqtt-version"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


@pytest.mark.parametrize(
    ("broker", "source", "lay"),
    [
        pytest.param(ONE_BROKER, "files:{}", mounted_by_kubelet, id="files, by kubelet"),
        pytest.param("embedded", ENV, Launched.env, marks=pytest.mark.slow, id="file, in place"),
    ],
    indirect=["broker"],
)
def test_new_value_is_used_from_every_source_and_notation(
    source: str, lay: Callable[[Launched, str, str], None], launched: Launched
) -> None:
    lay(launched, "server-a", launched.user("server-a"))
    second = launched.user("server-b")

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        await call_tool(session, "mqtt_subscribe", topic="test/in", qos=1)
        lay(launched, "server-b", second)
        await launched.until_logged(TAKEN)
        with Witness(launched.broker.broker(), WITNESS) as witness:
            witness.say("test/in", "after the change")
            await until_heard(session, "test/in", "after the change")
            assert await publish(session, "test/out")
            assert "test/out" in [witness.messages.get(timeout=DEADLINE)[0] for _ in range(2)]
        await launched.until("its report alone", lambda: launched.reports() == {"server-b": "of-server-b"})

    launched.run(scenario, source)
    anyio.run(launched.until, "no report", lambda: launched.reports() == {})
    assert second not in launched.log


@pytest.mark.slow
@pytest.mark.parametrize("line", ["MQTT_PORT=none", "MQTT_PASSWORD=not-the-brokers", "MQTT_USE_TLS=true"])
def test_unusable_version_is_refused_and_the_next_good_one_is_used(line: str, launched: Launched) -> None:
    first = launched.user("server-a")
    launched.env("server-a", first)

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        launched.add(line)
        await launched.until_logged(REFUSED)
        assert await publish(session)
        launched.env("server-b", launched.user("server-b"))
        await launched.until_logged(TAKEN)
        assert await publish(session)

    launched.run(scenario)
    assert launched.log.count(REFUSED) == 1 and first not in launched.log


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_it_while_a_new_broker_does_not_answer(number: signal.Signals, launched: Launched) -> None:
    launched.env("server-a", launched.user("server-a"))
    with socket.create_server(("127.0.0.1", 0)) as silent, launched.process() as process:
        launched.add(f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={silent.getsockname()[1]}")
        silent.settimeout(DEADLINE)
        connection, _ = silent.accept()  # the swap is in progress
        process.send_signal(number)
        assert process.wait(DEADLINE) == 0
        connection.close()
    assert "Traceback" not in launched.log
    anyio.run(launched.until, "no report", lambda: launched.reports() == {})


@pytest.mark.slow
def test_a_signal_ends_it_while_a_tool_blocks(launched: Launched) -> None:
    launched.env("server-a", launched.user("server-a"))
    begin = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "0"}}
    call = {"name": "mqtt_read_topic_once", "arguments": {"topic": "no/such", "timeout": 3600}}
    messages: list[dict[str, Any]] = [
        {"id": 2, "method": "initialize", "params": begin},
        {"method": "notifications/initialized"},
        {"id": 3, "method": "tools/call", "params": call},
    ]
    with launched.process() as process:
        assert process.stdin
        process.stdin.writelines(json.dumps({"jsonrpc": "2.0", **each}).encode() + b"\n" for each in messages)
        process.stdin.flush()
        anyio.run(launched.until_logged, "topic 'no/such' for one")
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
    anyio.run(launched.until, "the last will", lambda: launched.reports() == {})


@pytest.mark.slow
@ON_BOTH_BROKERS
def test_a_server_that_is_killed_reports_no_more(launched: Launched) -> None:
    launched.env("server-a", launched.user("server-a"))
    with launched.process(serves=False) as process:
        anyio.run(launched.until, "its report", lambda: launched.reports() == {"server-a": "of-server-a"})
        process.kill()
        process.wait(DEADLINE)
    anyio.run(launched.until, "the last will", lambda: launched.reports() == {})


pytestmark = pytest.mark.real

PATH = "/api/v1/chat/completions"


@dataclass
class Agent:
    """A server that answers like an agent, and records its requests."""

    url: str
    output: str
    requested: list[tuple[str, str]] = field(default_factory=list)  # (path, Authorization) of each request.
    moves: bool = False

    @property
    def keys(self) -> list[str]:
        return [shown.removeprefix("Bearer ") for _, shown in self.requested]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        agent: Agent = self.server.agent  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        agent.requested.append((self.path, self.headers["Authorization"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": agent.output}}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(307 if agent.moves else 200)
        self.send_header("Location", f"{agent.url}/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def agents() -> Iterator[tuple[Agent, Agent]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(2)]
    made = []
    for number, server in enumerate(servers):
        server.agent = Agent(f"http://127.0.0.1:{server.server_port}", f"LOT of agent {number}")  # type: ignore[attr-defined]
        made.append(server.agent)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made[0], made[1]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.mark.slow
@ON_UPSTREAMS_SERVER
def test_the_unmodified_server_asks_the_agent_of_the_stack_with_the_current_key(
    launched: Launched, agents: tuple[Agent, Agent]
) -> None:
    first, second = agents
    password, old, new = launched.user("server-a"), secrets.token_hex(20), secrets.token_hex(20)

    def lay(agent: Agent, key: str, version: str) -> None:
        more = {"DO_AGENT_URL": agent.url, "DO_AGENT_API_KEY": key, "SECRETOPS_VERSION_AGENT_KEY": version}
        launched.env("server-a", password, **more)

    lay(first, old, "v-1")

    async def scenario(session: ClientSession) -> None:
        assert "LOT of agent 0" in await call_tool(session, "request_lot_code", query="a pump")
        assert first.requested == [(PATH, f"Bearer {old}")] and second.requested == []
        lay(first, new, "v-2")
        await launched.until_logged("Using version v-2 of agent-key")
        await call_tool(session, "request_lot_code", query="a pump")
        assert first.keys == [old, new]
        lay(second, new, "v-3")
        await launched.until_logged("Using version v-3 of agent-key")
        assert "LOT of agent 1" in await call_tool(session, "request_lot_code", query="a pump")

    launched.run(scenario)
    assert first.keys == [old, new] and second.requested == [(PATH, f"Bearer {new}")]
    assert old not in launched.log and new not in launched.log


def test_request_to_another_agent_is_not_redirected(agents: tuple[Agent, Agent]) -> None:
    agent, other = agents
    requests = AgentRequests(agent.url)
    assert requests.post(f"{other.url}/api/lot-verifier", json={}, headers={"Authorization": "none"}).ok
    assert agent.requested == [] and other.requested == [("/api/lot-verifier", "none")]
    assert AgentRequests(None).post(agent.url + PATH, json={}, headers={"Authorization": "Bearer it"}).ok
    assert agent.keys == ["it"], "without a URL of the stack, the server's agent is used"
    assert issubclass(requests.exceptions.Timeout, Exception)


def test_redirect_of_an_agent_is_not_followed_with_the_key(agents: tuple[Agent, Agent]) -> None:
    agent, _ = agents
    agent.moves = True
    answer = AgentRequests(agent.url).post(
        f"https://example.com{PATH}", json={}, headers={"Authorization": "Bearer it"}
    )
    assert answer.status_code == 307
    assert agent.requested == [(PATH, "Bearer it")]
