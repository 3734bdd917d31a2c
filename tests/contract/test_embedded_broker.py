"""The embedded broker as a process, and what its clients see. Real sockets, real paho."""

import asyncio
import base64
import functools
import itertools
import json
import os
import queue
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from components.settings.stack_file import StackFileError, check_port
from secretops.broker import packets, process, server, sessions
from secretops.broker.packets import Message, ReturnCode
from secretops.broker.process import LOG_FILE, PID_FILE
from secretops.broker.server import EmbeddedBroker
from secretops.broker.users import USERS_FILE, Flag, Scrypt, User, Users, create_first_admin
from secretops.errors import RefusedError, UnreachableError, UsageError
from secretops.manifest import Manifest, SecretKind, StoreLocation
from secretops.operations import broker as operation
from secretops.targets import open_target
from secretops.targets.connection import Connection
from secretops.targets.coreflux import ANSWERS, COMMANDS, Commands, CorefluxTarget
from secretops.values import Value, new_password
from tests.real.embedded import Embedded, start_embedded
from tests.real.mosquitto import Mosquitto
from tests.real.ports import free_port
from tests.real.wire import Wire, connect, text

pytestmark = pytest.mark.real

SHORT = 1.0  # Seconds to wait for a message that must not come.
DEADLINE = 600.0
PUBREL, UNSUBACK = 0x62, 0xB0

# FUZZ_SECONDS=300 searches longer.
FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "20"))
LEAST_PACKETS = 200  # Of each thread, even on a slow machine.


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "broker"
    assert create_first_admin(place) is not None
    yield place
    process.stop(place)


def fresh(embedded: Embedded) -> Value:
    credential = Value({"username": f"user-{os.urandom(4).hex()}", "password": new_password()})
    CorefluxTarget(embedded.broker(), admin=False).apply(embedded.admin, credential)
    return credential


def test_it_listens_when_started_and_is_gone_when_stopped(home: Path) -> None:
    port = free_port()
    assert process.start(home, "localhost", port) is process.Listener.STARTED
    running = process.running(home)
    assert running and running.address == f"127.0.0.1:{port}"
    assert process.start(home, "127.0.0.1", port) is process.Listener.OURS
    assert process.running(home) == running
    with pytest.raises(process.EmbeddedBrokerError, match=f"127.0.0.1:{port}"):
        process.start(home, "localhost", free_port())
    assert process.stop(home) is True
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("localhost", port))
    assert process.running(home) is None and not (home / PID_FILE).exists()
    assert process.stop(home) is False
    for host in ("0.0.0.0", "example.org"):
        with pytest.raises(UsageError):
            process.start(home, host, port)


def test_a_foreign_listener_is_left_alone(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert process.start(home, "localhost", port) is process.Listener.FOREIGN
        assert process.running(home) is None
        assert process.stop(home) is False


def test_it_starts_again_with_its_users_after_it_was_killed(tmp_path: Path) -> None:
    home, port = tmp_path / "broker", free_port()
    admin = create_first_admin(home)
    assert admin is not None
    where = Embedded(home, port, admin).broker()
    target = CorefluxTarget(where, admin=False)
    credential = Value({"username": "alice", "password": new_password()})
    process.start(home, "localhost", port)
    target.apply(admin, credential)
    running = process.running(home)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)  # right after the answer
    os.waitpid(running.pid, 0)
    assert (home / PID_FILE).exists() and process.running(home) is None
    try:
        assert process.start(home, "localhost", port) is process.Listener.STARTED
        target.verify(credential)
    finally:
        process.stop(home)


def test_it_ends_when_its_pid_file_is_removed(tmp_path: Path) -> None:
    embedded = start_embedded(tmp_path)
    (embedded.home / PID_FILE).unlink()
    assert (
        operation.stop(Manifest.model_construct(broker=embedded.broker(), store=StoreLocation(kind="none")))
        == operation.NOT_RUNNING
    )
    assert not process.is_listening("localhost", embedded.port)


def test_stop_and_purge_claim_nothing_of_a_broker_that_listens(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "OWNED_SECONDS", 0.01)
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        manifest = Manifest.model_construct(
            broker=Embedded(home, port, Value({})).broker(), store=StoreLocation(kind="none")
        )
        stopped = operation.stop(manifest)
        assert stopped == f"{operation.NOT_RUNNING}; another process listens at localhost:{port}"
        assert f"localhost:{port}" in str(operation.remove(manifest)) and not home.exists()
        check_port({"broker": '{"kind": "mosquitto"}', "store": "no JSON"})
        with pytest.raises(StackFileError, match=str(port)):
            check_port({"broker": json.dumps({"kind": "embedded", "port": port})})
    assert operation.stop(manifest) == operation.NOT_RUNNING and operation.remove(manifest) is None
    check_port({"broker": json.dumps({"kind": "embedded", "port": port})})


def test_its_own_broker_does_not_take_the_port_of_a_stack(embedded_broker: Embedded) -> None:
    entry = json.dumps({"kind": "embedded", "port": embedded_broker.port})
    check_port({"broker": entry, "store": json.dumps({"kind": "dotenv", "root": str(embedded_broker.home.parent)})})


def test_the_log_is_capped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedded, size = start_embedded(tmp_path), process.LOG_BYTES
    for _ in range(2):
        with (embedded.home / LOG_FILE).open("ab") as file:
            file.write(b"." * size)
        for _ in range(2):
            Wire.log_in(embedded.port, wrong(embedded.admin)).ended()
    logs = list(embedded.home.glob(f"{LOG_FILE}*"))
    assert len(logs) == 2 and sum(log.stat().st_size for log in logs) < 3 * size
    assert {log.stat().st_mode & 0o777 for log in logs} == {0o600}
    embedded.stop()


def test_no_password_is_in_its_log_its_arguments_or_its_environment(embedded_broker: Embedded) -> None:
    credential = fresh(embedded_broker)
    with (
        pytest.raises(RefusedError),
        Connection(embedded_broker.broker(), Value({**credential, "password": credential["password"][:-1]})),
    ):
        pass
    running = process.running(embedded_broker.home)
    assert running is not None
    entry = Path(f"/proc/{running.pid}")
    seen = entry.joinpath("cmdline").read_bytes()
    with suppress(PermissionError):  # it removes its own account's rights; root may read
        seen += entry.joinpath("environ").read_bytes()
    seen += b"".join(path.read_bytes() for path in embedded_broker.home.iterdir() if path.is_file())
    for value in (credential, embedded_broker.admin):
        assert value["password"].encode() not in seen
    assert (embedded_broker.home / LOG_FILE).stat().st_mode & 0o777 == 0o600


def test_a_servers_user_sees_the_actions_and_neither_commands_nor_their_output(embedded_broker: Embedded) -> None:
    with Connection(embedded_broker.broker(), fresh(embedded_broker)) as server:
        server.subscribe("$SYS/Coreflux/Actions/+/Description")
        server.subscribe("#")
        for topic in (ANSWERS, COMMANDS, "$SYS/#", "$SYS/Coreflux/#"):
            with pytest.raises(RefusedError):
                server.subscribe(topic)
        with Connection(embedded_broker.broker(), embedded_broker.admin) as admin:
            Commands(admin).run("listUserGroups", embedded_broker.admin["username"])
        assert server.receive(lambda message: message.topic, within=SHORT) is None


def test_a_servers_user_joins_the_stacks_groups_and_an_admin_none(embedded_broker: Embedded) -> None:
    where, credential = embedded_broker.broker().model_copy(update={"groups": ("plant", "mcp")}), fresh(embedded_broker)
    for admin, member in ((False, ["plant", "mcp"]), (False, ["plant", "mcp"]), (True, [])):
        user = fresh(embedded_broker) if admin else credential
        CorefluxTarget(where, admin=admin).apply(embedded_broker.admin, user)
        with Connection(where, embedded_broker.admin) as connection:
            assert Commands(connection).run("listUserGroups", user["username"])["groups"] == member


def test_a_new_password_ends_the_sessions_of_its_user_and_no_others(embedded_broker: Embedded) -> None:
    theirs, others = fresh(embedded_broker), fresh(embedded_broker)
    target = CorefluxTarget(embedded_broker.broker(), admin=False)
    with Connection(embedded_broker.broker(), theirs) as live, Connection(embedded_broker.broker(), others) as other:
        target.retire(embedded_broker.admin, theirs["username"])
        with pytest.raises((UnreachableError, RefusedError)):
            live.receive(lambda _: None, within=DEADLINE)
        other.publish("plant/live", "here")
    log = (embedded_broker.home / LOG_FILE).read_text()
    assert log.count(f"{theirs['username']}: a session ended") == 1


@pytest.fixture(params=["mosquitto", "embedded"])
def log_in(request: pytest.FixtureRequest) -> Callable[..., Wire]:
    if request.param == "embedded":
        embedded: Embedded = request.getfixturevalue("embedded_broker")
        return functools.partial(Wire.log_in, embedded.port, fresh(embedded))
    mosquitto: Mosquitto = request.getfixturevalue("mosquitto")
    who = Value({"username": f"user-{os.urandom(4).hex()}", "password": new_password()})
    open_target(mosquitto.broker(), SecretKind.MQTT_USER).apply(mosquitto.admin, who)
    return functools.partial(Wire.log_in, mosquitto.port, who, ca_file=str(mosquitto.ca_file))


def test_messages_of_each_qos_arrive_live_and_after_an_absence(log_in: Callable[..., Wire]) -> None:
    reader, writer, both = log_in("reader", clean=False), log_in(), list(itertools.product(range(3), range(3)))
    assert (reader.code, reader.present) == (0, False)
    for published, subscribed in both:
        assert reader.subscribe(f"plant/{published}{subscribed}", subscribed) == subscribed

    def publish(payload: bytes) -> list[Message]:
        for published, subscribed in both:
            writer.publish(f"plant/{published}{subscribed}", payload, published)
        return [Message(f"plant/{first}{second}", payload, min(first, second)) for first, second in both]

    live = publish(b"live")
    assert reader.received() == live
    reader.leave()
    missed = [message for number in range(8) for message in publish(str(number).encode()) if message.qos]
    reader = log_in("reader", clean=False)
    assert reader.present and reader.received() == missed
    reader.leave()
    reader = log_in("reader")
    publish(b"nobody subscribes")
    assert not reader.present and reader.received() == []
    reader.leave()


def test_unacknowledged_message_is_resent(log_in: Callable[..., Wire]) -> None:
    reader, writer = log_in("again", clean=False), log_in()
    reader.subscribe("plant/again", 2)
    for qos in (1, 2):
        writer.publish("plant/again", b"%d" % qos, qos)
    reader.read()
    _, body = reader.read()
    reader.send(0x50, packets.publish(4, body)[1].to_bytes(2, "big"))
    assert reader.read()[0] == PUBREL
    reader.close()
    reader = log_in("again", clean=False)
    assert {reader.read()[0], reader.read()[0]} == {0x3A, PUBREL}, "a PUBLISH with DUP, and the PUBREL"
    reader.leave()
    for first in (0x34, 0x3C):  # the second with DUP
        writer.send(first, text("plant/again") + b"\0\7once")
    writer.received()
    reader = log_in("again", clean=False)
    assert [message.payload for message in reader.received()].count(b"once") == 1
    reader.leave()
    log_in("again").leave()


def test_a_retained_message_and_a_will_reach_those_who_subscribe(log_in: Callable[..., Wire]) -> None:
    will = Message("plant/will/a", b"gone", 1, retain=True)
    watcher, leaver, victim = (log_in(will=will) for _ in range(3))
    assert watcher.subscribe("plant/will/#", 1) == 1
    leaver.leave()
    assert watcher.received() == []
    victim.close()
    assert watcher.receive() == Message(will.topic, will.payload, 1)
    late = log_in()
    late.subscribe("plant/will/a", 2)
    assert late.received() == [will]
    late.send(0xA2, b"\0\1" + text(will.topic))
    assert late.read()[0] == UNSUBACK
    late.publish(will.topic, b"", retain=True)
    assert watcher.received() == [Message(will.topic, b"")]
    assert late.subscribe("+/will/+", 2) == 2 and late.received() == []
    watcher.leave()


@dataclass(frozen=True)
class Local:
    """An embedded broker in a thread of this process, with two ordinary users."""

    broker: EmbeddedBroker
    port: int
    alice: Value
    mallory: Value
    admin: Value


def cheap(password: str) -> Scrypt:
    empty = Scrypt(salt="", hash="", n=2)
    return empty.model_copy(update={"hash": base64.b64encode(empty._derive(password)).decode()})


@pytest.fixture
def local(tmp_path: Path) -> Iterator[Local]:
    admin, alice, mallory = (
        Value({"username": name, "password": f"not-shown-{name}"}) for name in ("root", "alice", "mallory")
    )
    flags = frozenset({Flag.SYSTEM_CONFIGURATION, Flag.USER_MANAGEMENT})
    users = Users(
        tmp_path / USERS_FILE,
        {
            user["username"]: User(password=cheap(user["password"]), flags=flags if user is admin else frozenset())
            for user in (admin, alice, mallory)
        },
    )
    port, running = free_port(), queue.Queue[tuple[EmbeddedBroker, asyncio.AbstractEventLoop, asyncio.Event]]()

    async def serve() -> None:
        made, loop, stop = EmbeddedBroker(users), asyncio.get_running_loop(), asyncio.Event()
        loop.set_exception_handler(lambda *_: None)  # Python 3.11 reports clients that are still connected
        await asyncio.start_server(made.serve, "127.0.0.1", port)
        running.put((made, loop, stop))
        await stop.wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    made, loop, stop = running.get(timeout=DEADLINE)
    yield Local(made, port, alice, mallory, admin)
    loop.call_soon_threadsafe(stop.set)
    thread.join()


def wrong(who: Value) -> Value:
    return Value({**who, "password": "not-the-password"})


@pytest.mark.parametrize("topic", ["$SYS/Coreflux/Actions/x/Description", "$other/a", COMMANDS])
@pytest.mark.parametrize("user", ["mallory", "admin"])
def test_a_will_on_a_forbidden_topic_is_refused(local: Local, topic: str, user: str) -> None:
    watcher = Wire.log_in(local.port, local.admin)
    watcher.subscribe(topic)
    left = Wire.log_in(local.port, getattr(local, user), will=Message(topic, b"mine", retain=True))
    assert left.code == ReturnCode.NOT_AUTHORIZED and left.ended()
    left.close()
    assert watcher.received() == [] and not local.broker._retained


def test_a_will_of_a_user_that_is_gone_is_not_published(local: Local) -> None:
    watcher = Wire.log_in(local.port, local.alice)
    watcher.subscribe("#")
    victim = Wire.log_in(local.port, local.mallory, will=Message("plant/will", b"mine"))
    Wire.log_in(local.port, local.admin).publish(COMMANDS, b"-removeUser mallory", 1)
    assert victim.ended() and watcher.received() == []


@pytest.mark.parametrize("clean", [True, False])
def test_a_login_with_a_wrong_password_leaves_a_live_session_alone(local: Local, clean: bool) -> None:
    victim = Wire.log_in(local.port, local.alice, "id", will=Message("plant/will", b"hers"), clean=False)
    victim.subscribe("plant/a", 1)
    for who in (wrong(local.alice), wrong(local.mallory), wrong(Value({**local.alice, "username": "nobody"}))):
        attacker = Wire.log_in(local.port, who, "id", will=Message("plant/will", b"mine"), clean=clean)
        assert attacker.code == ReturnCode.NOT_AUTHORIZED and attacker.ended()
    watcher = Wire.log_in(local.port, local.alice)
    watcher.subscribe("plant/will")
    watcher.publish("plant/a", b"still", 1)
    assert [message.payload for message in victim.received()] == [b"still"]
    victim.close()
    assert watcher.receive().payload == b"hers"


def test_client_id_of_another_user_gets_an_empty_session(local: Local) -> None:
    victim = Wire.log_in(local.port, local.admin, "id", clean=False)
    victim.subscribe(ANSWERS, 1)
    victim.leave()
    Wire.log_in(local.port, local.admin).publish(COMMANDS, b"-listUserGroups root", 1)
    thief = Wire.log_in(local.port, local.mallory, "id", clean=False)
    assert (thief.code, thief.present, thief.received()) == (0, False, [])
    again = Wire.log_in(local.port, local.mallory, "id", clean=False)
    assert again.present and thief.ended()


@pytest.mark.parametrize(
    ("limit", "value"), [("RETAINED_MESSAGES", 5), ("RETAINED_BYTES", 5 * 110)], ids=["messages", "bytes"]
)
def test_no_more_is_retained_than_the_limit(
    local: Local, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(server, limit, value)
    client = Wire.log_in(local.port, local.mallory)
    for number in range(9):
        client.publish(f"plant/{number}", b"x" * 100, retain=True)
    client.publish("plant/0", b"y" * 100, retain=True)
    assert list(local.broker._retained) == [f"plant/{number}" for number in (1, 2, 3, 4, 0)]


@pytest.mark.parametrize(
    ("limit", "value"), [("QUEUED_MESSAGES", 5), ("QUEUED_BYTES", 5 * 107)], ids=["messages", "bytes"]
)
def test_no_more_is_queued_than_the_limit(
    local: Local, monkeypatch: pytest.MonkeyPatch, limit: str, value: int
) -> None:
    monkeypatch.setattr(sessions, limit, value)
    reader, writer = Wire.log_in(local.port, local.alice, "id", clean=False), Wire.log_in(local.port, local.mallory)
    reader.subscribe("plant/a", 1)
    reader.leave()
    for number in range(9):
        writer.publish("plant/a", bytes((number,)) * 100, 1)
    reader = Wire.log_in(local.port, local.alice, "id", clean=False)
    assert [message.payload[0] for message in reader.received()] == [0, 1, 2, 3, 4]
    writer.publish("plant/a", b"there is room again", 1)
    assert reader.received()


def test_sessions_connections_and_subscriptions_are_limited(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    for module, limit in (
        (server, "MAX_OFFLINE"),
        (server, "MAX_PENDING"),
        (server, "MAX_CONNECTIONS"),
        (packets, "MAX_SUBSCRIPTIONS"),
    ):
        monkeypatch.setattr(module, limit, 3)
    for number in (0, 1, 2, 3, 1, 4):
        Wire.log_in(local.port, local.mallory, f"away-{number}", clean=False).leave()
    assert list(local.broker._sessions) == ["away-3", "away-1", "away-4"]
    idle = [Wire.open(local.port) for _ in range(5)]
    assert idle[0].ended() and idle[1].ended()
    there = [Wire.log_in(local.port, local.alice) for _ in range(3)]
    assert Wire.log_in(local.port, local.mallory).code == ReturnCode.UNAVAILABLE
    assert [there[0].subscribe(f"plant/{number}") for number in (0, 1, 2, 3, 1)] == [0, 0, 0, packets.REFUSED, 0]


@pytest.mark.parametrize(("kind", "one"), [(0x82, text("line/+") + b"\0"), (0xA2, text("line/+"))])
def test_packet_with_more_filters_than_a_client_may_have_ends_it(local: Local, kind: int, one: bytes) -> None:
    client = Wire.log_in(local.port, local.mallory)
    client.send(kind, b"\0\1" + packets.MAX_SUBSCRIPTIONS * one)
    assert client.read()[0] >> 4 == (kind >> 4) + 1
    client.send(kind, b"\0\1" + (packets.MAX_SUBSCRIPTIONS + 1) * one)
    assert client.ended()


def test_a_silent_client_is_cut_off(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Wire.log_in(local.port, local.alice, alive=1).ended()
    monkeypatch.setattr(server, "CONNECT_SECONDS", 0.1)
    assert Wire.open(local.port, b"\x10").ended()


def test_a_client_that_reads_nothing_costs_a_bounded_buffer(local: Local, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "UNREAD_BYTES", 2**18)
    slow, writer = Wire.log_in(local.port, local.alice, "slow"), Wire.log_in(local.port, local.mallory)
    slow.subscribe("plant/a")
    for _ in range(100):
        writer.publish("plant/a", b"x" * 2**17)
    connection = local.broker._sessions["slow"].connection
    assert connection and connection.writer.transport.get_write_buffer_size() < 2**19
    slow.close()


MALFORMED = {
    "no CONNECT": b"\xc0\x00",
    "TLS": bytes.fromhex("160301020001000001fc0303"),
    "a length of 5 bytes": b"\x10\xff\xff\xff\xff\x01",
    "a CONNECT of 256 MB": b"\x10\xff\xff\xff\x7f",
    "flags": b"\x11\x00",
    "nothing in it": b"\x10\x00",
}


@pytest.mark.parametrize("sent", MALFORMED.values(), ids=MALFORMED)
def test_invalid_login_packet_ends_the_connection(local: Local, sent: bytes) -> None:
    assert Wire.open(local.port, sent).ended()


@pytest.mark.parametrize(
    "sent",
    [
        b"\x36\x05\x00\x01a\x00\x01",  # QoS 3
        b"\x30\x02\x00\x00",  # no topic
        b"\x30\x03\x00\x01#",
        b"\x30\x04\x00\x02\xc3\x28",  # no UTF-8
        b"\x32\x05\x00\x01a\x00\x00",  # packet id 0
        b"\x30\xff\xff\x7f",  # 2 MiB
        b"\x82\x02\x00\x01",  # no filter
        b"\x82\x06\x00\x01\x00\x01a\x03",  # QoS 3
        b"\x80\x06\x00\x01\x00\x01a\x00",  # flags
        b"\xa2\x02\x00\x01",
        b"\x40\x03\x00\x01\x00",
        b"\x20\x02\x00\x00",  # a broker's packet
        b"\xf0\x00",
    ],
)
def test_a_packet_against_the_standard_ends_the_connection(local: Local, sent: bytes) -> None:
    client = Wire.log_in(local.port, local.mallory)
    client.socket.sendall(sent)
    assert client.ended()
    assert Wire.log_in(local.port, local.alice).received() == []


def packet(rng: random.Random) -> tuple[int, bytes]:
    if rng.random() < 0.05:
        topic = rng.choice([b"$SYS/x", b"\xff\xfe", b"", b"a/#", b"x" * 2_000])
        return rng.randrange(256), rng.choice([text(topic), b""]) + rng.randbytes(rng.randrange(60))
    topic, packet_id, qos = text(f"plant/{rng.randrange(20_000)}"), b"\1" + rng.randbytes(1), rng.randrange(3)
    match rng.randrange(6):
        case 0 | 1 | 2:
            payload = rng.randbytes(rng.choice([0, 9, 300, 5_000]))
            return 0x30 | qos << 1 | rng.randrange(2), topic + (packet_id if qos else b"") + payload
        case 3:
            wanted = rng.choice([topic, text("#"), text("plant/+"), text("$SYS/#")])
            return rng.choice([(0x82, packet_id + wanted + bytes((qos,))), (0xA2, packet_id + wanted)])
        case 4:
            return rng.choice([0x40, 0x50, 0x62, 0x70]), packet_id
        case _:
            return 0xC0, b""


def attack(seed: int, port: int, users: list[Value], end: float) -> int:
    """Send packets until the time `end`, with and without a login. Return the number of packets."""
    rng, sent = random.Random(seed), 0  # noqa: S311 - the same at each run
    while time.monotonic() < end or sent < LEAST_PACKETS:
        topic = rng.choice(["$SYS/Coreflux/Actions/x/Description", *(f"plant/w{rng.randrange(5_000)}",) * 4])
        will = Message(topic, rng.randbytes(rng.choice([0, 3_000])), rng.randrange(3), retain=rng.random() < 0.5)
        who, name = rng.choice(users), rng.choice(["same", f"c{rng.randrange(5_000)}"])
        body = bytearray(connect(who, name, will=rng.choice([will, None]), clean=rng.random() < 0.5, alive=1))
        if rng.random() < 0.3:
            body[rng.randrange(len(body))] = rng.randrange(256)
        client = Wire.open(port)  # fails if the broker has ended
        with suppress(OSError, EOFError), client.socket:
            client.socket.settimeout(1.0)
            client.send(0x10, bytes(body))
            if rng.random() < 0.8:
                client.read()
            for _ in range(rng.randrange(200)):
                client.send(*packet(rng))
                sent += 1
    return sent


def resident(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


@pytest.mark.slow
def test_random_packets_cost_no_memory_no_log_and_no_traceback(tmp_path: Path) -> None:
    embedded = start_embedded(tmp_path)
    users = [fresh(embedded) for _ in range(3)]
    running = process.running(embedded.home)
    assert running
    before, end = resident(running.pid), time.monotonic() + FUZZ_SECONDS
    with ThreadPoolExecutor(8) as pool:
        sent = sum(pool.map(lambda seed: attack(seed, embedded.port, [*users, wrong(users[0])], end), range(8)))
    CorefluxTarget(embedded.broker(), admin=False).verify(users[0])  # no earlier login is in the queue
    grown, log = resident(running.pid) - before, "".join(path.read_text() for path in embedded.home.glob("*.log*"))
    print(f"{sent} packets in {FUZZ_SECONDS} s: {before:.1f} MB {grown:+.1f} MB, log {len(log) / 1e6:.2f} MB")
    embedded.stop()
    assert grown <= 10 and len(log) <= 5e6
    assert "Traceback" not in log and "Error" not in log
