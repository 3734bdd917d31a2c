"""The embedded broker as a process, and what its clients see. Real sockets, real paho."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from amqtt.contexts import Action, ListenerConfig  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]

from secretops import broker
from secretops.broker.process import LOG_FILE, PID_FILE
from secretops.broker.server import EmbeddedBroker
from secretops.broker.users import Users
from secretops.errors import RefusedError, UnreachableError, UsageError
from secretops.targets.connection import Connection
from secretops.targets.coreflux import ANSWERS, COMMANDS, Commands, CorefluxTarget
from secretops.values import Value, new_password
from tests.real.embedded import Embedded
from tests.real.ports import free_port

pytestmark = pytest.mark.real

SHORT = 1.0
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
    assert running and running.address == f"127.0.0.1:{port}"
    assert broker.start(home, "127.0.0.1", port) is broker.Listener.OURS
    assert broker.running(home) == running
    with pytest.raises(broker.EmbeddedBrokerError, match=f"127.0.0.1:{port}"):
        broker.start(home, "localhost", free_port())
    assert broker.stop(home) is True
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("localhost", port))
    assert broker.running(home) is None and not (home / PID_FILE).exists()
    assert broker.stop(home) is False
    for host in ("0.0.0.0", "example.org"):
        with pytest.raises(UsageError):
            broker.start(home, host, port)


def test_a_foreign_listener_is_left_alone(home: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert broker.start(home, "localhost", port) is broker.Listener.FOREIGN
        assert broker.running(home) is None
        assert broker.stop(home) is False


def test_it_starts_again_with_its_users_after_it_was_killed(tmp_path: Path) -> None:
    home, port = tmp_path / "broker", free_port()
    admin = broker.first_admin(home)
    assert admin is not None
    where = Embedded(home, port, admin).broker()
    target = CorefluxTarget(where, admin=False)
    credential = Value({"username": "alice", "password": new_password()})
    broker.start(home, "localhost", port)
    target.apply(admin, credential)
    running = broker.running(home)
    assert running is not None
    os.kill(running.pid, signal.SIGKILL)  # right after the answer
    os.waitpid(running.pid, 0)
    assert (home / PID_FILE).exists() and broker.running(home) is None
    try:
        assert broker.start(home, "localhost", port) is broker.Listener.STARTED
        target.verify(credential)
    finally:
        broker.stop(home)


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
    seen = process.joinpath("cmdline").read_bytes()
    with suppress(PermissionError):  # it forbids its own account to look; root may
        seen += process.joinpath("environ").read_bytes()
    seen += b"".join(path.read_bytes() for path in embedded_broker.home.iterdir() if path.is_file())
    for value in (credential, embedded_broker.admin):
        assert value["password"].encode() not in seen
    assert (embedded_broker.home / LOG_FILE).stat().st_mode & 0o777 == 0o600


# What its clients see


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
