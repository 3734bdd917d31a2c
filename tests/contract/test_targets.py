"""Behavior of all targets, on every available broker: one suite, with one row per broker.

All brokers are real. The row `coreflux` uses the embedded broker.
"""

import itertools
import logging
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from secretops.certificates import new_key, private_pem
from secretops.engine.ports import Target, UserTakenError
from secretops.errors import RefusedError, SecretopsError, UnreachableError, UsageError, WaitingError
from secretops.manifest import Broker, BrokerKind, MqttProtocol, SecretKind
from secretops.targets import open_target
from secretops.targets.connection import Connection
from secretops.targets.coreflux import CorefluxTarget
from secretops.targets.mosquitto import ACL_TYPES, DynamicSecurity, MosquittoTarget
from secretops.targets.reports import report_topic, reports_of
from secretops.values import Value, new_password
from tests.real.mosquitto import Mosquitto, make_ca, start_mosquitto
from tests.real.ports import free_port

pytestmark = pytest.mark.real

SHORT = 10.0  # Seconds to wait for an answer that does not come, with all that precedes it.
_numbers = itertools.count()


@dataclass(frozen=True)
class Row:
    broker: Broker
    admin: Value

    def target(self, *, admin: bool = False, **changes: object) -> Target:
        return open_target(
            self.broker.model_copy(update=changes), SecretKind.BROKER_ADMIN if admin else SecretKind.MQTT_USER
        )

    def impatient(self, *, admin: bool = False) -> Target:
        """Return a target with a short deadline, for requests that mosquitto does not answer under MQTT 3.1.1."""
        if self.broker.kind is BrokerKind.COREFLUX or self.broker.protocol is MqttProtocol.V5:
            return self.target(admin=admin)
        return MosquittoTarget(self.broker, admin=admin, deadline=SHORT)


@pytest.fixture(params=["mosquitto-5", pytest.param("mosquitto-3.1.1", marks=pytest.mark.slow), "coreflux"])
def row(request: pytest.FixtureRequest) -> Row:
    if request.param == "coreflux":
        embedded = request.getfixturevalue("embedded_broker")
        return Row(embedded.broker(), embedded.admin)
    mosquitto = request.getfixturevalue("mosquitto")
    return Row(mosquitto.broker(MqttProtocol(request.param.removeprefix("mosquitto-"))), mosquitto.admin)


def fresh(password: str | None = None, *, username: str | None = None) -> Value:
    name = username or f"user-{next(_numbers)}-{secrets.token_hex(4)}"
    return Value({"username": name, "password": password or new_password()})


def _jobs(*jobs: Callable[[], None]) -> tuple[Callable[[], None], ...]:
    return jobs


def comes_back(connection: Connection, topic: str) -> bool:
    """Return whether this session receives its own message. It must have a subscription to `topic`."""
    payload = secrets.token_hex(8)
    connection.publish(topic, payload)
    return connection.receive(lambda message: True if message.payload == payload.encode() else None) is True


@contextmanager
def session(broker: Broker, who: Value, topic: str) -> Iterator[Connection]:
    with Connection(broker, who) as connection:
        connection.subscribe(topic)
        yield connection


def test_applying_twice_or_to_the_idle_user_leaves_the_live_session_alone(row: Row) -> None:
    live_user, idle_user, target = fresh(), fresh(), row.target()
    target.apply(row.admin, live_user)
    with session(row.broker, live_user, "plant/live") as live:
        target.apply(row.admin, live_user)
        target.apply(row.admin, fresh(username=idle_user["username"]))
        assert comes_back(live, "plant/live")
        target.retire(row.admin, idle_user["username"])
        assert comes_back(live, "plant/live")
    target.verify(live_user)


@pytest.mark.parametrize("admin", [False, True])
def test_existing_user_keeps_its_password_session_and_rights(row: Row, admin: bool) -> None:
    theirs = fresh()
    row.target().apply(row.admin, theirs, new=True)
    with session(row.broker, theirs, "plant/live") as live:
        with pytest.raises(UserTakenError, match=theirs["username"]):
            row.target(admin=admin).apply(row.admin, fresh(username=theirs["username"]), new=True)
        assert comes_back(live, "plant/live")
    row.target().verify(theirs)
    with pytest.raises(RefusedError):
        row.impatient(admin=True).verify(theirs)


def test_a_users_life(row: Row) -> None:
    first, target = fresh(), row.target()
    second = fresh(username=first["username"])
    target.retire(row.admin, first["username"])
    with pytest.raises(RefusedError):
        target.verify(first)
    for credential, other in ((first, second), (second, first)):
        target.apply(row.admin, credential)
        target.verify(credential)
        with pytest.raises(RefusedError):
            target.verify(other)
    target.retire(row.admin, first["username"])
    with pytest.raises(RefusedError) as refused:
        target.verify(second)
    assert first["username"] in str(refused.value)
    target.apply(row.admin, first)
    target.verify(first)
    row.target(admin=True).apply(row.admin, first, new=True)  # resumes a killed rotation
    row.target(admin=True).verify(first)


def test_admins_take_turns(row: Row) -> None:
    first, second, target = fresh(), fresh(), row.target(admin=True)
    target.apply(row.admin, first)
    target.verify(first)
    target.apply(first, second)
    target.apply(first, second)
    target.verify(second)
    target.retire(second, first["username"])
    with pytest.raises(RefusedError):
        target.verify(first)
    row.target().apply(second, server := fresh())
    row.target().verify(server)


def test_a_servers_user_is_no_admin(row: Row) -> None:
    server = fresh()
    row.target().apply(row.admin, server)
    with pytest.raises(RefusedError):
        row.impatient(admin=True).verify(server)
    with pytest.raises(RefusedError):
        row.impatient().apply(server, fresh())


def test_a_user_without_its_rights_gets_them_at_the_next_apply(row: Row) -> None:
    """A crash may occur after a user is created and before it gets its rights. It can log in, but must not count as
    complete."""
    credential = fresh()
    row.target().apply(row.admin, credential)
    row.target(admin=True).apply(row.admin, credential)
    row.target(admin=True).verify(credential)


def test_an_admin_does_not_set_its_own_password(row: Row) -> None:
    target = row.target(admin=True)
    for attempt in _jobs(
        lambda: target.apply(row.admin, fresh(username=row.admin["username"])),
        lambda: target.retire(row.admin, row.admin["username"]),
    ):
        with pytest.raises(RefusedError) as refused:
            attempt()
        assert refused.value.rule
        assert refused.value.code == "admin-self-change"
    target.verify(row.admin)


def test_a_wrong_admin_is_refused_not_unreachable(row: Row) -> None:
    for wrong in (fresh(username=row.admin["username"]), fresh()):
        with pytest.raises(RefusedError):
            row.target().apply(wrong, fresh())
        with pytest.raises(RefusedError):
            row.target().retire(wrong, "anybody")


def test_a_broker_that_is_down_is_unreachable(row: Row) -> None:
    target = row.target(port=free_port())
    for attempt in _jobs(
        lambda: target.verify(fresh()),
        lambda: target.apply(row.admin, fresh()),
        lambda: target.retire(row.admin, "anybody"),
    ):
        with pytest.raises(UnreachableError) as unreachable:
            attempt()
        assert "localhost:" in str(unreachable.value)
        assert unreachable.value.remedy


def test_passwords_appear_in_no_log_and_no_error(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    first, target, reported = fresh(), row.target(), list[str]()
    second = fresh(username=first["username"])
    jobs = _jobs(
        lambda: target.verify(first),
        lambda: target.apply(first, second),
        lambda: row.target(port=free_port()).apply(row.admin, first),
        lambda: row.impatient(admin=True).verify(second),
    )
    target.apply(row.admin, second)
    for job in jobs:
        with pytest.raises(SecretopsError) as failed:
            job()
        reported.append("".join(traceback.format_exception(failed.value)))
    for value in (first, second, row.admin):
        assert value["password"] not in "\n".join([*reported, caplog.text])


@pytest.fixture(params=[MqttProtocol.V5, pytest.param(MqttProtocol.V311, marks=pytest.mark.slow)])
def strict(request: pytest.FixtureRequest) -> Row:
    mosquitto = request.getfixturevalue("mosquitto")
    return Row(mosquitto.broker(request.param), mosquitto.admin)


def test_a_broker_that_is_not_the_one_that_was_meant_is_unreachable(strict: Row, tmp_path: Path) -> None:
    _, _, foreign = make_ca(tmp_path, "foreign")
    empty = tmp_path / "empty.crt"
    empty.write_text("")
    missing = tmp_path / "none.crt"
    wrong = [strict.target(host="127.0.0.1"), *(strict.target(ca_file=str(ca)) for ca in (foreign, empty, missing))]
    for target in wrong:
        with pytest.raises(UnreachableError):
            target.verify(strict.admin)


def test_nothing_is_sent_in_clear_to_a_listener_without_tls(strict: Row) -> None:
    received = bytearray()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                received.extend(peer.recv(4096))
                peer.sendall(b"\x20\x02\x00\x00")  # a 3.1.1 CONNACK in clear

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(UnreachableError, match=r"\[broker-tls-failed\]"):
            strict.target(port=server.getsockname()[1]).verify(strict.admin)
        thread.join()
    assert received[:1] == b"\x16"  # a TLS handshake
    assert strict.admin["password"].encode() not in received


@pytest.mark.parametrize("missing", ["publishClientSend", "publishClientReceive"])
def test_an_access_list_for_one_direction_fails_the_proof(strict: Row, missing: str) -> None:
    """Under 3.1.1 mosquitto acknowledges a message that it drops, and a receiver does not notice."""
    credential, role = fresh(), f"half-{secrets.token_hex(4)}"
    acls = [{"acltype": kind, "topic": "#", "priority": 0, "allow": kind != missing} for kind in ACL_TYPES]
    with Connection(strict.broker, strict.admin) as connection:
        security = DynamicSecurity(connection)
        security.run("createRole", rolename=role, acls=acls)
        security.run("createClient", **credential, roles=[{"rolename": role}])
    with pytest.raises(RefusedError) as refused:
        MosquittoTarget(strict.broker, admin=False, deadline=SHORT).verify(credential)
    assert "coreflux-mcp-secrets/probe/" in str(refused.value)
    with Connection(strict.broker, strict.admin) as connection:
        security = DynamicSecurity(connection)
        security.run("deleteClient", username=credential["username"])  # it may write reports, which other tests need
        security.run("deleteRole", rolename=role)


def test_server_reports_need_a_topic_of_its_own_user(tmp_path: Path) -> None:
    mosquitto = start_mosquitto(tmp_path)
    try:
        row = Row(mosquitto.broker(topics=("plant/#",)), mosquitto.admin)
        target, users = row.target(), [fresh(), fresh()]
        names = [user["username"] for user in users]
        assert not target.guards_reports(row.admin, names)
        for user in users:
            target.apply(row.admin, user)
        assert target.guards_reports(row.admin, names)
        topics = [report_topic(name, "server-1") for name in names]
        with Connection(row.broker, users[0]) as connection:
            connection.subscribe(f"{reports_of(names[0])}/#")
            connection.subscribe(f"{reports_of(names[1])}/#")
            assert comes_back(connection, topics[0])
            with pytest.raises(RefusedError):
                connection.publish(topics[1], "forged")
        with Connection(row.broker, row.admin) as connection:
            security = DynamicSecurity(connection)
            acl = {"acltype": "publishClientSend", "topic": "#", "priority": 0, "allow": True}
            security.run("createRole", rolename="all", acls=[acl])
            security.run("createClient", **fresh(), roles=[{"rolename": "all"}])
        assert not target.guards_reports(row.admin, names)
    finally:
        mosquitto.stop()


def test_missing_client_certificate_is_awaited_and_nothing_is_sent(tmp_path: Path) -> None:
    _, _, ca = make_ca(tmp_path)
    for there in ("client.crt", "client.key", None):
        folder = tmp_path / str(there)
        folder.mkdir()
        if there:
            (folder / there).write_text("not looked at")
        with unspoken_to(ca, folder) as target, pytest.raises(WaitingError) as waiting:
            target.verify(fresh())
        assert "secretops put client-cert" in waiting.value.remedy


def test_mismatched_client_certificate_is_reported_unsent(certifying_mosquitto: Mosquitto, tmp_path: Path) -> None:
    (tmp_path / "client.crt").write_bytes(certifying_mosquitto.certificate_file.read_bytes())
    (tmp_path / "client.key").write_text(private_pem(new_key()))
    with unspoken_to(certifying_mosquitto.ca_file, tmp_path) as target, pytest.raises(UsageError) as refused:
        target.verify(fresh())
    assert str(tmp_path / "client.key") in refused.value.what
    assert "secretops put client-cert" in refused.value.remedy


@contextmanager
def unspoken_to(ca_file: Path, certificates: Path) -> Iterator[Target]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        broker = Broker(
            kind=BrokerKind.MOSQUITTO, host="127.0.0.1", port=server.getsockname()[1], protocol=MqttProtocol.V5,
            tls=True, ca_file=str(ca_file), certificate_file=str(certificates / "client.crt"),
            key_file=str(certificates / "client.key"),
        )  # fmt: skip
        yield open_target(broker, SecretKind.MQTT_USER)
        with pytest.raises(BlockingIOError):
            server.accept()


@pytest.mark.parametrize("bad", ["two words", 'quo"te', "-dash", "back\\slash", "new\nline", ""])
def test_value_that_breaks_a_command_is_refused_unsent(bad: str) -> None:
    nowhere = Broker(kind=BrokerKind.COREFLUX, host="localhost", port=1, protocol=MqttProtocol.V311, tls=True)
    target = CorefluxTarget(nowhere, admin=False)
    for attempt in _jobs(
        lambda: target.apply(fresh(), fresh(username="somebody", password=bad or None) if bad else fresh(username=" ")),
        lambda: target.apply(fresh(), fresh(username=bad or " ")),
        lambda: target.retire(fresh(), bad),
    ):
        with pytest.raises(RefusedError, match=r"\[broker-argument-invalid\]"):
            attempt()
