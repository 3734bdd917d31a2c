"""Rotations that once lost messages now lose none. Upstream's server over stdio, mosquitto with TLS."""

import contextlib
import os
import queue
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp import ClientSession

from tests.contract.test_launcher import Launched, until_connected
from tests.real.launched import DEADLINE, ON_UPSTREAMS_SERVER, WITNESS, let_in
from tests.real.mcp_client import call_tool
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.witness import Witness

pytestmark = [pytest.mark.real, pytest.mark.slow]

LEFT = "The former MQTT client has disconnected"
GROUP = 100  # Messages to one topic: the server's buffer stores the last 100 of each (upstream's server.py:373).


@pytest.fixture
def launched(tmp_path: Path, server_folder: Path) -> Iterator[Launched]:
    (tmp_path / "tls").mkdir()
    broker = start_mosquitto(tmp_path / "tls", queue=0)
    made = Launched(tmp_path / "place", tmp_path / "cwd", broker, server_folder)
    made.cwd.mkdir()
    let_in(broker, WITNESS)
    yield made
    broker.stop(kill=True)


def broker_of(launched: Launched) -> Mosquitto:
    assert isinstance(launched.broker, Mosquitto)
    return launched.broker


def lay(launched: Launched, user: str, password: str, **more: str) -> None:
    launched.env(user, password, MQTT_USE_TLS="true", MQTT_CA_CERT=str(broker_of(launched).ca_file), **more)


def arrived(witness: Witness, count: int) -> set[str]:
    """Return `count` different messages that another client received, or fewer if no more arrive."""
    found: set[str] = set()
    while len(found) < count:
        try:
            found.add(witness.messages.get(timeout=DEADLINE)[0])
        except queue.Empty:
            break
    return found


async def say(session: ClientSession, topic: str) -> None:
    answer = await call_tool(session, "mqtt_publish", topic=topic, message="{}", qos=1)
    assert "success" in answer.lower(), answer


def launcher_of(launched: Launched) -> int:
    """Return the process id of the launcher, which the mcp package has started."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
            if b"secretops" in arguments and str(launched.folder).encode() in b" ".join(arguments):
                return int(entry.name)
    raise AssertionError("no launcher")


@pytest.mark.parametrize("count", [4000, 16_000])
def test_a_backlog_at_the_broker_outlives_a_rotation(launched: Launched, count: int) -> None:
    lay(launched, "server-a", launched.user("server-a"))
    password = launched.user("server-b")

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        await call_tool(session, "mqtt_subscribe", topic="in/#", qos=1)
        launcher = launcher_of(launched)
        with Witness(launched.broker.broker(), WITNESS) as other:
            os.kill(launcher, signal.SIGSTOP)
            sent = [other._client.publish(f"in/{number // GROUP}", f"<{number}>", qos=1) for number in range(count)]
            for one in sent:
                one.wait_for_publish(DEADLINE)
            lay(launched, "server-b", password)
            os.kill(launcher, signal.SIGCONT)
        await launched.until_logged(LEFT)
        read: set[str] = set()
        for topic in range(count // GROUP):
            read.update(
                re.findall(
                    r"<\d+>", await call_tool(session, "mqtt_read_messages", topic=f"in/{topic}", max_messages=GROUP)
                )
            )
        assert count - len(read) == 0

    launched.run(scenario)


def test_publishes_that_a_stopped_broker_has_not_read_outlive_a_rotation(launched: Launched) -> None:
    lay(launched, "server-a", launched.user("server-a"))
    password, broker = launched.user("server-b"), broker_of(launched)

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        broker.freeze()
        for number in range(40):
            await say(session, f"test/{number}")
        broker.stop(kill=True)
        lay(launched, "server-b", password)
        await launched.until_logged("A new version was rejected")
        assert broker.start()
        with Witness(broker.broker(), WITNESS) as witness:
            assert len(await anyio.to_thread.run_sync(arrived, witness, 40)) == 40
        await launched.until_logged(LEFT)

    launched.run(scenario)


@ON_UPSTREAMS_SERVER
def test_a_connection_that_a_tool_sets_up_leaves_no_report(launched: Launched) -> None:
    password, own = launched.user("server-a"), launched.user("server-b")
    lay(launched, "server-a", password)

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        await launched.until("its report", lambda: launched.reports() == {"server-a": "of-server-a"})
        chosen = {"broker": "localhost", "port": launched.broker.port, "use_tls": True}
        answer = await call_tool(session, "setup_mqtt_connection", username="server-b", password=own, **chosen)
        assert "success" in answer.lower(), answer
        await launched.until("no report", lambda: launched.reports() == {})

    launched.run(scenario)
    anyio.run(launched.until, "no report", lambda: launched.reports() == {})


def test_publishes_over_a_slow_network_outlive_rotations(launched: Launched) -> None:
    passwords = {user: launched.user(user) for user in ("server-a", "server-b")}
    sent: list[str] = []

    async def scenario(session: ClientSession) -> None:
        await until_connected(session)
        enough = anyio.Event()

        async def load() -> None:
            began = anyio.current_time()
            while not enough.is_set():
                sent.append(f"test/{len(sent)}")
                tasks.start_soon(say, session, sent[-1])
                await anyio.sleep_until(began + len(sent) / 40)

        with Witness(launched.broker.broker(), WITNESS) as witness:
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(load)
                for turn, user in enumerate(("server-b", "server-a", "server-b"), 1):
                    lay(launched, user, passwords[user], MQTT_PORT=str(slow))
                    await launched.until("its end", lambda turn=turn: launched.log.count(LEFT) == turn)  # type: ignore[misc]
                enough.set()
            found = await anyio.to_thread.run_sync(arrived, witness, len(sent))
            assert set(sent) - found == set()
        print(f"{len(sent)} published")

    with slow_network(launched.broker.port, 0.8) as slow:
        lay(launched, "server-a", passwords["server-a"], MQTT_PORT=str(slow))
        launched.run(scenario)


@contextlib.contextmanager
def slow_network(port: int, seconds: float) -> Iterator[int]:
    """Yield a port that leads to `port` with `seconds` of delay in each direction."""

    def carry(source: socket.socket, target: socket.socket) -> None:
        waiting: queue.Queue[tuple[float, bytes]] = queue.Queue()

        def deliver() -> None:
            while True:
                due, data = waiting.get()
                time.sleep(max(0.0, due - time.monotonic()))
                try:
                    target.sendall(data)
                    if not data:
                        target.shutdown(socket.SHUT_WR)
                        return
                except OSError:
                    return

        threading.Thread(target=deliver, daemon=True).start()
        data = b"-"
        while data:
            try:
                data = source.recv(65536)
            except OSError:
                data = b""
            waiting.put((time.monotonic() + seconds, data))

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
                server = socket.create_connection(("127.0.0.1", port))
            except OSError:
                return
            for one, other in ((client, server), (server, client)):
                threading.Thread(target=carry, args=(one, other), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield int(listener.getsockname()[1])
        listener.shutdown(socket.SHUT_RDWR)
