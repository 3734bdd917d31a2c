"""The launcher with real brokers and the mcp package's own client: on the small server always, on upstream's where it
can be had (COREFLUX_SERVER_DIR, or ../shared/upstream)."""

from __future__ import annotations

import json
import secrets
import signal
import socket
import subprocess
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from mcp import ClientSession

from secretops.values import Value
from tests.real.embedded import Embedded
from tests.real.launched import (
    DEADLINE,
    ON_BOTH_BROKERS,
    ON_BOTH_SERVERS,
    WITNESS,
    RealBroker,
    command,
    environment,
    let_in,
)
from tests.real.mcp_client import stdio_session, tell
from tests.real.mosquitto import start_mosquitto
from tests.real.ports import free_port
from tests.real.upstream import SMALL_SERVER
from tests.real.witness import Witness

pytestmark = pytest.mark.real

USER = "server-a"
OPEN_STREAM = b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n'


@dataclass
class Place:
    """A dotenv store's folder, the working directory of the launcher, and where its standard error goes."""

    root: Path
    cwd: Path
    stderr: Path
    server: Path
    password: str

    def env(self, **variables: str | int) -> None:
        path = self.root / "config" / ".env"
        lines = {"MQTT_BROKER": "localhost", "MQTT_USER": USER, "SECRETOPS_VERSION_MQTT": "v-7"} | variables
        path.write_text("".join(f"{name}={text}\n" for name, text in lines.items()))
        path.chmod(0o600)

    def credential(self, password: str = "") -> Value:
        """Its server's, or one with another password."""
        return Value({"username": USER, "password": password or self.password})

    def command(self) -> list[str]:
        return command(f"dotenv:{self.root}")

    def process(self) -> subprocess.Popen[bytes]:
        with self.stderr.open("wb") as stderr:
            return subprocess.Popen(
                self.command(),
                cwd=self.cwd,
                env=environment(self.server),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def pids(self) -> list[int]:
        """The processes that were started for this folder."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    arguments = (entry / "cmdline").read_bytes()
                except OSError:
                    continue
                if str(self.root).encode() in arguments:
                    found.append(int(entry.name))
        return found

    def log(self) -> str:
        return self.stderr.read_text()

    def leaked(self) -> bool:
        return self.password in self.log()

    def session(self) -> AbstractAsyncContextManager[ClientSession]:
        return stdio_session(self.command(), environment(self.server), self.cwd, self.stderr)


@pytest.fixture
def place(tmp_path: Path, server_folder: Path) -> Place:
    root, cwd = tmp_path / "root", tmp_path / "cwd"
    (root / "config").mkdir(parents=True, mode=0o700)
    cwd.mkdir()
    return Place(root, cwd, tmp_path / "stderr", server_folder, password=secrets.token_hex(20))


def as_json(text: str) -> str:
    """Upstream's mqtt_publish takes JSON and nothing else."""
    return json.dumps({"text": text})


async def until(what: str, check: Callable[[], Awaitable[bool]]) -> None:
    with anyio.move_on_after(DEADLINE):
        while not await check():
            await anyio.sleep(0.2)
        return
    pytest.fail(f"not within {DEADLINE} s: {what}")


async def until_connected(session: ClientSession) -> None:
    async def connected() -> bool:
        return "ublished" in await tell(session, "mqtt_publish", topic="other/probe", message=as_json("x"))

    await until("the server is connected", connected)


def listing(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@ON_BOTH_SERVERS
@ON_BOTH_BROKERS
def test_an_mcp_client_lists_tools_and_its_message_reaches_another_mqtt_client(
    place: Place, broker: RealBroker, witness: Witness
) -> None:
    broker_with_user(broker, place)

    async def scenario() -> None:
        async with place.session() as session:
            tools = {tool.name for tool in (await session.list_tools()).tools}
            assert {"mqtt_publish", "mqtt_subscribe", "mqtt_read_messages"} <= tools
            await tell(session, "mqtt_publish", topic="test/hello", message=as_json("from an agent"), qos=1)

    anyio.run(scenario)
    topic, text = witness.messages.get(timeout=DEADLINE)
    assert topic == "test/hello"
    assert "from an agent" in text
    records = [json.loads(line) for line in (place.root / "log" / "access.jsonl").read_text().splitlines()]
    assert [(it["operation"], it["secret"], it["version"], it["purpose"]) for it in records] == [
        ("read", "mqtt", "v-7", "serve")
    ]
    assert records[0]["actor"].startswith("server:")


def broker_with_user(broker: RealBroker, place: Place, **variables: str | int) -> None:
    let_in(broker, place.credential())
    place.env(
        MQTT_PORT=broker.port,
        MQTT_PROTOCOL=broker.broker().protocol,
        MQTT_PASSWORD=place.password,
        LOG_LEVEL="DEBUG",
        **variables,
    )


def test_the_password_is_in_no_environment_argument_or_log_and_no_file_appears(
    place: Place, broker: RealBroker, witness: Witness
) -> None:
    broker_with_user(broker, place, DO_AGENT_API_KEY=f"{place.password}key")
    before = listing(place.server)
    seen: list[bytes] = []

    async def scenario() -> None:
        async with place.session() as session:
            await until_connected(session)
            await tell(session, "mqtt_publish", topic="test/echo", message=as_json("x"))
            await tell(session, "reconnect_mqtt")
            if place.server == SMALL_SERVER:
                inherited = await tell(session, "environment")
                assert f"MQTT_PORT={broker.port}" in inherited
                seen.append(inherited.encode())
            assert place.pids()
            for pid in place.pids():
                seen.extend(Path(f"/proc/{pid}/{name}").read_bytes() for name in ("environ", "cmdline"))

    anyio.run(scenario)
    assert b"COREFLUX_SERVER_DIR" in b"".join(seen)
    leaks = sum(place.password.encode() in part for part in seen)  # a failed assertion prints its parts
    assert leaks == 0
    assert place.log()
    assert not place.leaked()
    assert listing(place.cwd) == []
    assert listing(place.server) == before


@ON_BOTH_BROKERS
def test_a_refused_password_is_told_with_its_remedy_and_the_server_recovers_once_the_broker_takes_it(
    place: Place, broker: RealBroker, witness: Witness
) -> None:
    broker_with_user(broker, place)
    let_in(broker, place.credential(secrets.token_hex(20)))

    async def scenario() -> None:
        async with place.session() as session:

            async def refused() -> bool:
                return "refused the connection" in place.log()

            await until("the refusal is told", refused)
            assert "refused" in await tell(session, "get_connection_status")
            let_in(broker, place.credential())
            await until_connected(session)

    anyio.run(scenario)
    assert "secretops status" in place.log()
    assert "Traceback" not in place.log()
    assert not place.leaked()


@ON_BOTH_BROKERS
def test_a_broker_that_comes_late_and_goes_away_for_a_while_finds_its_subscriptions_again(
    place: Place, broker: RealBroker
) -> None:
    broker_with_user(broker, place)
    broker.stop()

    async def scenario() -> None:
        async with place.session() as session:
            assert "Connection refused" in place.log()
            assert broker.start()
            await until_connected(session)
            await tell(session, "mqtt_subscribe", topic="test/in", qos=1)
            broker.stop()
            assert broker.start()
            await until_connected(session)
            with Witness(broker.broker(), WITNESS) as witness:

                async def heard() -> bool:
                    witness.say("test/in", "again")
                    return "again" in await tell(session, "mqtt_read_messages", topic="test/in")

                await until("a message on a topic subscribed before the restart", heard)

    anyio.run(scenario)


@ON_BOTH_BROKERS
@pytest.mark.parametrize("tool", ["reconnect_mqtt", "mqtt_connect", "setup_mqtt_connection"])
def test_the_servers_own_connection_tools_still_work(
    tool: str, place: Place, broker: RealBroker, witness: Witness
) -> None:
    broker_with_user(broker, place)
    arguments: dict[str, object] = {}
    if tool != "reconnect_mqtt":
        arguments = {"broker": "localhost", "port": broker.port, "username": USER, "password": place.password}

    async def scenario() -> None:
        async with place.session() as session:
            await until_connected(session)
            for _ in range(2):
                assert "Successfully" in await tell(session, tool, **arguments)
                await tell(session, "mqtt_publish", topic="test/after", message=as_json(tool), qos=1)
                topic, text = await anyio.to_thread.run_sync(lambda: witness.messages.get(timeout=DEADLINE))
                assert (topic, tool in text) == ("test/after", True)

    anyio.run(scenario)
    assert "Traceback" not in place.log()


def test_a_broker_of_another_protocol_is_told_with_the_setting_to_change(
    place: Place, embedded_broker: Embedded
) -> None:
    let_in(embedded_broker, place.credential())
    place.env(MQTT_PORT=embedded_broker.port, MQTT_PROTOCOL="5", MQTT_PASSWORD=place.password)

    async def scenario() -> None:
        async with place.session() as session:
            assert "nothing within" in await tell(session, "get_connection_status")

    anyio.run(scenario)
    assert "MQTT_PROTOCOL" in place.log()
    assert " ERROR " not in place.log()


def test_a_missing_password_ends_with_the_waiting_code_and_the_next_step(place: Place) -> None:
    place.env(MQTT_PORT=free_port())
    process = place.process()
    output, _ = process.communicate(timeout=DEADLINE)
    assert process.returncode == 5
    assert "MQTT_PASSWORD is not there yet" in place.log()
    assert "secretops tick" in place.log()
    assert "Traceback" not in place.log()
    assert output == b""
    assert not (place.root / "log").exists()  # nothing was read that is worth a record


def test_the_end_of_input_ends_the_server_with_success(place: Place) -> None:
    place.env(MQTT_PORT=free_port(), MQTT_PASSWORD=place.password)
    process = place.process()
    process.communicate(timeout=DEADLINE)
    assert process.returncode == 0, place.log()
    assert str(place.server) in place.log()  # it says which server it runs
    assert "COREFLUX_SERVER_DIR" in place.log()


class ScriptedBroker(threading.Thread):
    """Says yes to one MQTT 3.1.1 client and keeps every byte that it sends. Not a broker: proves only what was sent."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.received = b""
        self.start()

    def run(self) -> None:
        connection, _ = self._listener.accept()
        with connection, self._listener:
            self.received += connection.recv(65536)
            connection.sendall(b"\x20\x02\x00\x00")
            while more := connection.recv(65536):
                self.received += more


@ON_BOTH_SERVERS
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_server_with_success_after_a_goodbye_to_the_broker(
    number: signal.Signals, place: Place
) -> None:
    broker = ScriptedBroker()
    place.env(MQTT_BROKER="127.0.0.1", MQTT_PORT=broker.port, MQTT_PROTOCOL="3.1.1", MQTT_PASSWORD=place.password)
    process = place.process()
    assert process.stdin
    assert process.stdout
    process.stdin.write(OPEN_STREAM)
    process.stdin.flush()
    assert process.stdout.readline()  # it serves
    process.send_signal(number)
    assert process.wait(DEADLINE) == 0, place.log()
    process.stdin.close()
    process.stdout.close()
    broker.join(DEADLINE)
    assert USER.encode() in broker.received
    assert broker.received.endswith(b"\xe0\x00")  # MQTT 3.1.1, section 3.14: DISCONNECT
    assert "Traceback" not in place.log()


@pytest.mark.parametrize(("host", "accepted"), [("localhost", True), ("other.example", False)])
def test_tls_takes_a_broker_only_when_its_certificate_names_the_host(
    host: str, accepted: bool, place: Place, tmp_path: Path
) -> None:
    broker = start_mosquitto(tmp_path, certified=host)
    variables = {"MQTT_USE_TLS": "true", "MQTT_CA_CERT": str(broker.ca_file)}
    place.env(MQTT_PORT=broker.port, MQTT_PROTOCOL="5", MQTT_PASSWORD=place.password, LOG_LEVEL="DEBUG", **variables)

    async def scenario() -> None:
        if accepted:  # else nobody can log in to let the server in
            let_in(broker, place.credential())
        async with place.session() as session:
            if accepted:
                await until_connected(session)
            else:
                status = await tell(session, "get_connection_status")
                assert "Hostname mismatch" in status

    try:
        anyio.run(scenario)
    finally:
        broker.stop()
    assert ("Hostname mismatch" in place.log()) is not accepted
