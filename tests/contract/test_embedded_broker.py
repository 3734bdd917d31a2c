"""The embedded broker as a process, and what its clients see. Real sockets, real paho."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from amqtt.contexts import Action, ListenerConfig  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from secretops import broker
from secretops.broker.process import LOG_FILE, PID_FILE
from secretops.broker.server import EmbeddedBroker
from secretops.broker.users import USERS_FILE, Users
from secretops.errors import RefusedError, SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.operations.broker import start
from secretops.targets.connection import Connection
from secretops.targets.coreflux import ANSWERS, COMMANDS, Commands, CorefluxTarget
from secretops.values import Value, new_password
from tests.real.embedded import Embedded
from tests.real.ports import free_port
from tests.real.stack import make_stack

pytestmark = pytest.mark.real

SHORT = 1.5
"""Seconds to wait for a message that must not come."""

DEADLINE = 60


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    """A home with its first admin; its broker, if one was started, is stopped."""
    place = tmp_path / "broker"
    assert broker.first_admin(place) is not None
    yield place
    broker.stop(place)


def fresh(embedded: Embedded) -> Value:
    credential = Value({"username": f"user-{os.urandom(4).hex()}", "password": new_password()})
    CorefluxTarget(embedded.broker(), admin=False).apply(embedded.admin, credential)
    return credential


# The process


def test_it_listens_when_started_and_is_gone_when_stopped(home: Path) -> None:
    port = free_port()
    assert broker.start(home, "localhost", port) is broker.Listener.STARTED
    running = broker.running(home)
    assert running is not None
    assert running.address == f"127.0.0.1:{port}"
    socket.create_connection(("localhost", port)).close()
    assert broker.stop(home) is True
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("localhost", port))
    assert broker.running(home) is None
    assert not (home / PID_FILE).exists()
    assert broker.stop(home) is False


def test_a_second_start_finds_the_first(home: Path) -> None:
    port = free_port()
    broker.start(home, "localhost", port)
    before = broker.running(home)
    assert broker.start(home, "127.0.0.1", port) is broker.Listener.OURS
    assert broker.running(home) == before


def test_of_two_starts_at_once_one_starts(home: Path) -> None:
    port, outcomes = free_port(), list[broker.Listener]()
    threads = [
        threading.Thread(target=lambda: outcomes.append(broker.start(home, "localhost", port))) for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [broker.Listener.OURS, broker.Listener.OURS, broker.Listener.STARTED]


def test_a_foreign_listener_is_left_alone(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert broker.start(home, "localhost", port) is broker.Listener.FOREIGN
        assert broker.running(home) is None
        assert broker.stop(home) is False


def test_a_broker_that_outlived_its_folder_is_found_by_what_the_refusal_says(tmp_path: Path) -> None:
    home = tmp_path / "store" / "broker"
    described = Broker(
        kind=BrokerKind.COREFLUX,
        host="localhost",
        port=free_port(),
        protocol=MqttProtocol.V311,
        tls=False,
        embedded=True,
        home=str(home),
    )
    stack = make_stack(tmp_path / "store", described)
    start(stack.session())
    found = broker.running(home)
    assert found is not None
    try:
        shutil.rmtree(tmp_path / "store")
        again = make_stack(tmp_path / "store", described)
        with pytest.raises(SecretopsError) as refusal:
            start(again.session())
        told = refusal.value.remedy
        command = re.search(r"pgrep -af \S+", told)
        assert command and str(home) in told
        assert told.index("make down") < command.start(), "the commonest case first"
        shown = subprocess.run(command[0].split(), capture_output=True, text=True, check=True).stdout
        assert [line.split()[0] for line in shown.splitlines() if str(home) in line] == [str(found.pid)]
        assert all(len(line) <= 80 for line in str(refusal.value).replace(str(home), "").splitlines())
    finally:
        os.kill(found.pid, signal.SIGTERM)
        os.waitpid(found.pid, 0)
    start(again.session())
    broker.stop(home)


def test_one_home_has_one_broker(home: Path) -> None:
    port = free_port()
    broker.start(home, "localhost", port)
    with pytest.raises(broker.EmbeddedBrokerError, match=f"runs at 127.0.0.1:{port}"):
        broker.start(home, "localhost", free_port())


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "example.org", "::", "::1", ""])
def test_it_listens_on_loopback_alone(home: Path, host: str) -> None:
    for attempt in (broker.start, broker.serve):
        with pytest.raises(UsageError, match="not a loopback address") as refused:
            attempt(home, host, free_port())
        assert refused.value.rule
        assert refused.value.remedy


def test_a_pid_file_of_a_process_that_is_no_broker_is_a_leftover(home: Path) -> None:
    port = free_port()
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as bystander:
        (home / PID_FILE).write_text(f"{bystander.pid} 127.0.0.1:{port}\n")
        assert broker.running(home) is None
        assert broker.stop(home) is False
        assert broker.start(home, "localhost", port) is broker.Listener.STARTED
        assert broker.stop(home) is True
        assert bystander.poll() is None
        bystander.kill()


def test_it_starts_again_after_it_was_killed(home: Path) -> None:
    port = free_port()
    broker.start(home, "localhost", port)
    running = broker.running(home)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)
    os.waitpid(running.pid, 0)
    assert (home / PID_FILE).exists()
    assert broker.running(home) is None
    assert broker.start(home, "localhost", port) is broker.Listener.STARTED


def test_a_failed_start_names_the_log_and_its_last_line(home: Path) -> None:
    (home / USERS_FILE).write_text("{}")
    with pytest.raises(broker.EmbeddedBrokerError, match="not a users file") as failed:
        broker.start(home, "localhost", free_port())
    assert str(home / LOG_FILE) in str(failed.value)
    assert broker.running(home) is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_in_the_foreground_it_ends_well_when_told_to(home: Path, number: signal.Signals) -> None:
    told, tell = os.pipe()
    port = free_port()
    argv = [sys.executable, "-m", "secretops.broker", str(home), "localhost", str(port), "--ready", str(tell)]
    with subprocess.Popen(argv, pass_fds=(tell,), stderr=subprocess.PIPE) as process:
        os.close(tell)
        assert os.read(told, 1) == b"1"
        os.close(told)
        admin = Value({"username": "nobody", "password": new_password()})
        where = Broker(
            kind=BrokerKind.COREFLUX, host="localhost", port=port, protocol=MqttProtocol.V311, tls=False, embedded=True
        )
        with pytest.raises(RefusedError), Connection(where, admin):
            pass
        with socket.create_connection(("localhost", port)):  # a client that stays does not keep it
            process.send_signal(number)
            assert process.wait(timeout=DEADLINE) == 0
        assert process.stderr is not None
        assert b"Traceback" not in process.stderr.read()
    assert not (home / PID_FILE).exists()


def test_a_taken_port_is_told_without_a_traceback_from_us(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        argv = [sys.executable, "-m", "secretops.broker", str(home), "localhost", str(port)]
        done = subprocess.run(argv, capture_output=True, text=True, timeout=DEADLINE, check=False)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"127.0.0.1:{port}" in last
    assert "-> stop what listens there" in last
    assert not (home / PID_FILE).exists()


def test_no_password_is_in_its_log_its_arguments_or_its_environment(embedded_broker: Embedded) -> None:
    credential = fresh(embedded_broker)
    with (
        pytest.raises(RefusedError),
        Connection(embedded_broker.broker(), Value({**credential, "password": credential["password"][:-1]})),
    ):
        pass
    running = broker.running(embedded_broker.home)
    assert running is not None
    process = Path(f"/proc/{running.pid}")
    seen = process.joinpath("cmdline").read_bytes() + process.joinpath("environ").read_bytes()
    seen += b"".join(path.read_bytes() for path in embedded_broker.home.iterdir() if path.is_file())
    for value in (credential, embedded_broker.admin):
        assert value["password"].encode() not in seen
    assert (embedded_broker.home / LOG_FILE).stat().st_mode & 0o777 == 0o600


def test_a_home_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError):
        broker.start(tmp_path / "file" / "broker", "localhost", free_port())


# What its clients see


def test_users_survive_a_restart(home: Path) -> None:
    (home / USERS_FILE).unlink()
    admin = broker.first_admin(home)
    assert admin is not None
    port = free_port()
    where = Broker(kind=BrokerKind.COREFLUX, host="localhost", port=port, protocol=MqttProtocol.V311, tls=False)
    target = CorefluxTarget(where, admin=False)
    credential = Value({"username": "alice", "password": new_password()})
    broker.start(home, "localhost", port)
    target.apply(admin, credential)
    running = broker.running(home)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)  # right after the answer
    os.waitpid(running.pid, 0)
    broker.start(home, "localhost", port)
    target.verify(credential)


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


def test_a_command_without_the_right_is_dropped_and_the_session_lives(embedded_broker: Embedded) -> None:
    with (
        Connection(embedded_broker.broker(), fresh(embedded_broker)) as server,
        Connection(embedded_broker.broker(), embedded_broker.admin) as admin,
    ):
        admin.subscribe(ANSWERS)
        server.publish(COMMANDS, f"-listUserGroups {server.username} -requestId mine")
        assert admin.receive(lambda message: message.payload, within=SHORT) is None
        server.subscribe("plant/a")
        server.publish("plant/a", "still here")
        assert server.receive(lambda message: message.payload) == b"still here"


def test_a_new_password_ends_the_sessions_of_its_user_and_no_others(embedded_broker: Embedded) -> None:
    theirs, others = fresh(embedded_broker), fresh(embedded_broker)
    target = CorefluxTarget(embedded_broker.broker(), admin=False)
    with Connection(embedded_broker.broker(), theirs) as live, Connection(embedded_broker.broker(), others) as other:
        target.retire(embedded_broker.admin, theirs["username"])
        with pytest.raises((UnreachableError, RefusedError)):
            live.receive(lambda _: None, within=DEADLINE)
        other.publish("plant/live", "here")


def test_each_session_that_ends_with_its_password_is_told_once_and_a_refused_login_is_none(
    embedded_broker: Embedded,
) -> None:
    theirs = fresh(embedded_broker)
    target = CorefluxTarget(embedded_broker.broker(), admin=False)
    with (
        pytest.raises(RefusedError),
        Connection(embedded_broker.broker(), Value({**theirs, "password": new_password()})),
    ):
        pass
    with Connection(embedded_broker.broker(), theirs) as live:
        target.retire(embedded_broker.admin, theirs["username"])
        with pytest.raises((UnreachableError, RefusedError)):
            live.receive(lambda _: None, within=DEADLINE)
    fresh(embedded_broker)
    log = (embedded_broker.home / LOG_FILE).read_text()
    assert log.count(f"{theirs['username']}: a session ended") == 1


def test_a_refused_login_with_the_client_id_of_a_living_session_changes_nothing_of_whose_it_is(tmp_path: Path) -> None:
    """amqtt hands over that very session, with the name and the password that the newcomer gave."""
    admin = broker.first_admin(tmp_path)
    assert admin
    users = Users.load(tmp_path)
    users.add("server", password := new_password())

    async def both() -> tuple[bool, ...]:
        embedded, session = EmbeddedBroker(users, "localhost", free_port()), Session()

        async def logs_in(name: str, given: str) -> bool:
            session.username, session.password = name, given
            return await embedded._authenticate(session, ListenerConfig())

        async def may(action: Action, topic: str) -> bool:
            return await embedded._topic_filtering(session, topic, action)

        return (
            await may(Action.PUBLISH, "plant/a"),
            await logs_in("server", password),
            await logs_in(admin["username"], "wrong"),
            await may(Action.PUBLISH, "plant/a"),
            await may(Action.PUBLISH, COMMANDS),
            await logs_in(admin["username"], admin["password"]),
            await may(Action.PUBLISH, COMMANDS),
        )

    assert asyncio.run(both()) == (False, True, False, True, False, True, True)


def test_another_dollar_topic_ends_nobodys_session(embedded_broker: Embedded) -> None:
    with Connection(embedded_broker.broker(), embedded_broker.admin) as admin:
        admin.publish("$SYS/Coreflux/Actions/x/Description", "forged")
        Commands(admin).run("listUserGroups", admin.username)


def test_a_user_that_loses_its_right_stops_getting_output(embedded_broker: Embedded) -> None:
    target = CorefluxTarget(embedded_broker.broker(), admin=True)
    manager = Value({"username": f"user-{os.urandom(4).hex()}", "password": new_password()})
    target.apply(embedded_broker.admin, manager)
    with Connection(embedded_broker.broker(), manager) as live:
        live.subscribe(ANSWERS)
        with Connection(embedded_broker.broker(), embedded_broker.admin) as admin:
            commands = Commands(admin)
            commands.run("changeUserSettings", manager["username"], "AllowedUserManagement", "false")
            commands.run("listUserGroups", manager["username"])
        assert live.receive(lambda message: json.loads(message.payload)["command"], within=SHORT) is None


def test_two_admins_each_get_their_own_answers(embedded_broker: Embedded) -> None:
    """Answers go to everybody who may read them; the request's id tells whose they are."""
    failures: list[BaseException] = []

    def work() -> None:
        try:
            with Connection(embedded_broker.broker(), embedded_broker.admin) as admin:
                commands = Commands(admin)
                for _ in range(10):
                    name = f"user-{os.urandom(4).hex()}"
                    commands.run("addUser", name, new_password())
                    commands.run("removeUser", name)
        except BaseException as error:  # for the thread that asserts
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_no_acknowledged_message_is_lost_while_others_subscribe(embedded_broker: Embedded) -> None:
    """amqtt with a topic plugin loses most of them: a subscription made during a broadcast ends it."""
    credential, count = fresh(embedded_broker), 30
    failures: list[BaseException] = []
    done = threading.Event()

    def subscribe_a_lot() -> None:
        try:
            with Connection(embedded_broker.broker(), credential) as guest:
                while not done.is_set():
                    guest._client.subscribe([(f"guest/{os.urandom(4).hex()}", 1) for _ in range(50)])
                    guest.subscribe("guest/synchronised")
        except BaseException as error:  # for the thread that asserts
            failures.append(error)

    guests = [threading.Thread(target=subscribe_a_lot) for _ in range(2)]
    filters = ["#", "+/#", "+/+", "plant/#", "plant/+", "+/count", "plant/count"]
    with Connection(embedded_broker.broker(), credential) as resident:
        for each in filters:
            resident.subscribe(each)
        for guest in guests:
            guest.start()
        try:
            for number in range(count):
                resident.publish("plant/count", str(number))
                for _ in filters:
                    assert resident.receive(lambda message: message.payload) == str(number).encode()
        finally:
            done.set()
            for guest in guests:
                guest.join()
    assert not failures


def test_a_newcomer_gets_no_retained_message_that_it_did_not_ask_for(embedded_broker: Embedded) -> None:
    """amqtt sends it those of every filter that anybody has subscribed to."""
    import paho.mqtt.publish as once

    credential = fresh(embedded_broker)
    once.single(
        "kept/a",
        "old news",
        qos=1,
        retain=True,
        hostname="localhost",
        port=embedded_broker.port,
        auth={"username": credential["username"], "password": credential["password"]},
    )
    with Connection(embedded_broker.broker(), credential) as reader:
        reader.subscribe("kept/#")
        assert reader.receive(lambda message: message.payload) == b"old news"
        with Connection(embedded_broker.broker(), credential) as newcomer:
            newcomer.subscribe("elsewhere/#")
            assert newcomer.receive(lambda message: message.topic, within=SHORT) is None


def test_mqtt_5_is_told_apart_from_a_refusal(embedded_broker: Embedded) -> None:
    five = embedded_broker.broker().model_copy(update={"protocol": MqttProtocol.V5})
    begun = time.monotonic()
    with pytest.raises(UnreachableError, match="MQTT 5"), Connection(five, embedded_broker.admin, deadline=SHORT):
        pass
    assert time.monotonic() - begun < DEADLINE
