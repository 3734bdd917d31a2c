"""What every target does, on every broker that can be had: one suite, one row a broker.

Nothing stands in for anything here but on the row `coreflux`: its broker is the embedded one.
"""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import secrets
import socket
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from secretops.errors import RefusedError, SecretopsError, UnreachableError, UsageError, WaitingError
from secretops.manifest import Broker, BrokerKind, MqttProtocol, SecretKind
from secretops.targets import open_target
from secretops.targets.connection import Connection, logs_in
from secretops.targets.coreflux import Commands, CorefluxTarget
from secretops.targets.mosquitto import ACL_TYPES, DynamicSecurity, MosquittoTarget
from secretops.targets.protocol import Target, UserTakenError
from secretops.values import Value, new_password
from tests.real.embedded import Embedded
from tests.real.mosquitto import Mosquitto, make_ca
from tests.real.ports import free_port

pytestmark = pytest.mark.real

SHORT = 3.0
"""Seconds to wait for an answer that does not come, with all that comes before it."""

_numbers = itertools.count()


@dataclass(frozen=True)
class Row:
    """A broker that runs, its admin, and how to make targets for it."""

    broker: Broker
    admin: Value

    def target(self, *, admin: bool = False, **changes: object) -> Target:
        return open_target(
            self.broker.model_copy(update=changes), SecretKind.BROKER_ADMIN if admin else SecretKind.MQTT_USER
        )

    def impatient(self, *, admin: bool = False) -> Target:
        """For what mosquitto answers with silence under MQTT 3.1.1."""
        kind = MosquittoTarget if self.broker.kind is BrokerKind.MOSQUITTO else CorefluxTarget
        return kind(self.broker, admin=admin, deadline=SHORT)


@pytest.fixture(params=["mosquitto-5", "mosquitto-3.1.1", "coreflux"])
def row(request: pytest.FixtureRequest) -> Row:
    if request.param == "coreflux":
        embedded = request.getfixturevalue("embedded_broker")
        return Row(embedded.broker(), embedded.admin)
    mosquitto = request.getfixturevalue("mosquitto")
    return Row(mosquitto.broker(MqttProtocol(request.param.removeprefix("mosquitto-"))), mosquitto.admin)


def fresh(password: str | None = None, *, username: str | None = None) -> Value:
    """A credential that nobody else uses."""
    name = username or f"user-{next(_numbers)}-{secrets.token_hex(4)}"
    return Value({"username": name, "password": password or new_password()})


def _jobs(*jobs: Callable[[], None]) -> tuple[Callable[[], None], ...]:
    return jobs


def comes_back(connection: Connection, topic: str) -> bool:
    """Whether a message that this session sends itself arrives. Needs a subscription to `topic`."""
    payload = secrets.token_hex(8)
    connection.publish(topic, payload)
    return connection.receive(lambda message: True if message.payload == payload.encode() else None) is True


@contextmanager
def session(broker: Broker, who: Value, topic: str) -> Iterator[Connection]:
    with Connection(broker, who) as connection:
        connection.subscribe(topic)
        yield connection


def test_apply_makes_a_credential_that_verifies(row: Row) -> None:
    credential, target = fresh(), row.target()
    with pytest.raises(RefusedError):
        target.verify(credential)
    target.apply(row.admin, credential)
    target.verify(credential)


def test_applying_twice_changes_nothing_and_drops_nobody(row: Row) -> None:
    credential, target = fresh(), row.target()
    target.apply(row.admin, credential)
    with session(row.broker, credential, "plant/live") as live:
        target.apply(row.admin, credential)
        assert comes_back(live, "plant/live")
    target.verify(credential)


def test_applying_another_password_replaces_the_first(row: Row) -> None:
    first, target = fresh(), row.target()
    second = fresh(username=first["username"])
    target.apply(row.admin, first)
    target.apply(row.admin, second)
    target.verify(second)
    with pytest.raises(RefusedError):
        target.verify(first)


def test_applying_to_the_idle_user_leaves_the_other_users_session_alone(row: Row) -> None:
    live_user, idle_user, target = fresh(), fresh(), row.target()
    target.apply(row.admin, live_user)
    with session(row.broker, live_user, "plant/live") as live:
        for _ in range(3):
            target.apply(row.admin, fresh(username=idle_user["username"]))
            assert comes_back(live, "plant/live")
        target.retire(row.admin, idle_user["username"])
        assert comes_back(live, "plant/live")


@pytest.mark.parametrize("admin", [False, True])
def test_a_new_user_that_is_there_already_keeps_its_password_its_session_and_its_rights(row: Row, admin: bool) -> None:
    theirs = fresh()
    row.target().apply(row.admin, theirs, new=True)
    with session(row.broker, theirs, "plant/live") as live:
        with pytest.raises(UserTakenError, match=theirs["username"]):
            row.target(admin=admin).apply(row.admin, fresh(username=theirs["username"]), new=True)
        assert comes_back(live, "plant/live")
    row.target().verify(theirs)
    with pytest.raises(RefusedError):
        row.impatient(admin=True).verify(theirs)


def test_a_new_user_that_a_killed_rotation_made_is_gone_on_with(row: Row) -> None:
    credential = fresh()
    row.target().apply(row.admin, credential)
    row.target(admin=True).apply(row.admin, credential, new=True)
    row.target(admin=True).verify(credential)


def test_retire_makes_the_old_password_refused(row: Row) -> None:
    credential, target = fresh(), row.target()
    target.apply(row.admin, credential)
    target.retire(row.admin, credential["username"])
    with pytest.raises(RefusedError) as refused:
        target.verify(credential)
    assert credential["username"] in str(refused.value)


def test_a_retired_user_can_be_applied_again(row: Row) -> None:
    first, target = fresh(), row.target()
    target.apply(row.admin, first)
    target.retire(row.admin, first["username"])
    target.retire(row.admin, first["username"])
    target.apply(row.admin, first)
    target.verify(first)


def test_retiring_a_user_that_is_gone_is_fine(row: Row) -> None:
    row.target().retire(row.admin, fresh()["username"])


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
    """A crash between the user and its rights: it logs in already, and must not be taken for done."""
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
        assert "two admins" in refused.value.remedy
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


def test_a_name_that_does_not_resolve_is_unreachable(row: Row) -> None:
    with pytest.raises(UnreachableError, match="cannot connect"):
        row.target(host="no-such-host.invalid").verify(fresh())


def test_a_listener_that_never_answers_is_unreachable(row: Row) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        broker = row.broker.model_copy(update={"host": "127.0.0.1", "port": mute.getsockname()[1]})
        with pytest.raises(UnreachableError), Connection(broker, fresh(), deadline=SHORT):
            pass


def test_the_user_needs_no_more_than_the_brokers_topics(row: Row) -> None:
    credential = fresh()
    target = row.target(topics=("$SYS/Coreflux/#", "plant/+/x/#"))
    target.apply(row.admin, credential)
    target.verify(credential)


def test_no_thread_outlives_a_job(row: Row) -> None:
    before = set(threading.enumerate())  # stand-ins of this process's other tests have some, which may end meanwhile
    credential, target = fresh(), row.target()
    target.apply(row.admin, credential)
    target.verify(credential)
    target.retire(row.admin, credential["username"])
    assert set(threading.enumerate()) - before == set()


def test_a_connection_that_is_closed_holds_no_descriptor(row: Row) -> None:
    """Not until the collector comes by: a process that connects often, with a large heap, else has a thousand open."""
    credential = Value({"username": "nobody-at-all", "password": new_password()})
    gc.disable()
    try:
        before = _open_sockets()
        for _ in range(5):
            assert not logs_in(row.broker, credential)
            assert logs_in(row.broker, row.admin)
        assert _open_sockets() - before == set()
    finally:
        gc.enable()


def _open_sockets() -> set[str]:
    """Of this process, each by the kernel's name for it."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the folder's own, which is closed
            found.add(str(descriptor.readlink()))
    return {name for name in found if name.startswith("socket:")}


def test_passwords_appear_in_no_log_no_error_and_no_argv(row: Row, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    first, target = fresh(), row.target()
    second = fresh(username=first["username"])
    stop, seen = threading.Event(), set[str]()
    watcher = threading.Thread(target=_watch_argv, args=(stop, seen))
    watcher.start()
    told: list[str] = []

    def attempt(job: Callable[[], None]) -> None:
        try:
            job()
        except SecretopsError as error:
            told.append("".join(traceback.format_exception(error)))

    try:
        attempt(lambda: target.verify(first))
        attempt(lambda: target.apply(row.admin, first))
        attempt(lambda: target.apply(row.admin, second))
        attempt(lambda: target.verify(first))
        attempt(lambda: target.apply(first, second))
        attempt(lambda: row.target(admin=True).apply(second, first))
        attempt(lambda: row.target(port=free_port()).apply(row.admin, first))
        attempt(lambda: row.impatient(admin=True).verify(second))
    finally:
        stop.set()
        watcher.join()
    assert len(told) == 6
    assert seen
    everything = "\n".join([*told, *seen, caplog.text])
    for value in (first, second, row.admin):
        assert value["password"] not in everything


def _watch_argv(stop: threading.Event, seen: set[str]) -> None:
    while not stop.wait(0.02):
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                seen.add(path.read_bytes().replace(b"\0", b" ").decode(errors="replace"))
            except OSError:
                continue


# What only a broker with TLS or with access lists can show


@pytest.fixture(params=[MqttProtocol.V5, MqttProtocol.V311])
def strict(request: pytest.FixtureRequest) -> Row:
    mosquitto = request.getfixturevalue("mosquitto")
    return Row(mosquitto.broker(request.param), mosquitto.admin)


def test_a_broker_with_the_wrong_ca_is_unreachable_and_not_spoken_to(strict: Row, tmp_path: Path) -> None:
    _, _, foreign = make_ca(tmp_path, "foreign")
    with pytest.raises(UnreachableError, match="TLS failed") as unreachable:
        strict.target(ca_file=str(foreign)).verify(strict.admin)
    assert "ca_file" in unreachable.value.remedy


def test_a_certificate_for_another_host_is_unreachable(strict: Row) -> None:
    with pytest.raises(UnreachableError, match="TLS failed"):
        strict.target(host="127.0.0.1").verify(strict.admin)


def test_a_missing_or_empty_ca_file_is_told_before_anything_is_sent(strict: Row, tmp_path: Path) -> None:
    empty = tmp_path / "empty.crt"
    empty.write_text("")
    for path in (tmp_path / "none.crt", empty):
        with pytest.raises(UnreachableError, match="not a CA file"):
            strict.target(ca_file=str(path)).verify(strict.admin)


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
        with pytest.raises(UnreachableError, match="TLS failed"):
            strict.target(port=server.getsockname()[1]).verify(strict.admin)
        thread.join()
    assert received[:1] == b"\x16"  # a TLS handshake
    assert strict.admin["username"].encode() not in received
    assert strict.admin["password"].encode() not in received


def test_an_access_list_without_the_topics_fails_the_proof(strict: Row) -> None:
    credential = fresh()
    strict.target(topics=("plant/#",)).apply(strict.admin, credential)
    with pytest.raises(RefusedError, match="to subscribe to other/"):
        strict.target(topics=("other/#",)).verify(credential)


@pytest.mark.parametrize("missing", ["publishClientSend", "publishClientReceive"])
def test_an_access_list_for_one_direction_fails_the_proof(strict: Row, missing: str) -> None:
    """Under 3.1.1 mosquitto acknowledges what it drops; and a receiver is never told what it doesn't get."""
    credential, role = fresh(), f"half-{secrets.token_hex(4)}"
    acls = [{"acltype": kind, "topic": "#", "priority": 0, "allow": kind != missing} for kind in ACL_TYPES]
    with Connection(strict.broker, strict.admin) as connection:
        security = DynamicSecurity(connection)
        security.run("createRole", rolename=role, acls=acls)
        security.run("createClient", **credential, roles=[{"rolename": role}])
    with pytest.raises(RefusedError) as refused:
        MosquittoTarget(strict.broker, admin=False, deadline=SHORT).verify(credential)
    assert "coreflux-mcp-secrets/probe/" in str(refused.value)


def test_other_topics_reach_the_idle_user_and_drop_nobody(strict: Row) -> None:
    live_user, idle_user = fresh(), fresh()
    before, after = strict.target(topics=("plant/#",)), strict.target(topics=("plant/#", "hall/#"))
    before.apply(strict.admin, live_user)
    before.apply(strict.admin, idle_user)
    with session(strict.broker, live_user, "plant/live") as live:
        after.apply(strict.admin, idle_user)
        assert comes_back(live, "plant/live")
    strict.target(topics=("hall/#",)).verify(idle_user)
    with pytest.raises(RefusedError):
        strict.target(topics=("hall/#",)).verify(live_user)


def test_two_stacks_that_make_the_same_role_at_once_both_have_it(strict: Row, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=60)
    find = DynamicSecurity.find

    def find_together(security: DynamicSecurity, command: str, missing: str, **arguments: object) -> object:
        found = find(security, command, missing, **arguments)
        if command == "getRole" and found is None:
            both.wait()
        return found

    monkeypatch.setattr(DynamicSecurity, "find", find_together)
    topics = (f"at-once/{secrets.token_hex(4)}/#",)
    users = [fresh(), fresh()]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda user: strict.target(topics=topics).apply(strict.admin, user), users))
    for user in users:
        strict.target(topics=topics).verify(user)


def test_a_disabled_user_is_enabled_by_apply(strict: Row) -> None:
    credential, target = fresh(), strict.target()
    target.apply(strict.admin, credential)
    with Connection(strict.broker, strict.admin) as connection:
        DynamicSecurity(connection).run("disableClient", username=credential["username"])
    assert not logs_in(strict.broker, credential)
    target.apply(strict.admin, credential)
    target.verify(credential)


# What only a broker that asks for a client certificate can show


def test_with_its_certificate_a_credential_is_applied_and_verified(certifying_mosquitto: Mosquitto) -> None:
    row = Row(certifying_mosquitto.broker(), certifying_mosquitto.admin)
    credential = fresh()
    row.target().apply(row.admin, credential)
    row.target().verify(credential)
    with pytest.raises(UnreachableError):
        row.target(certificate_file=None, key_file=None).verify(credential)


def test_a_client_certificate_that_is_not_there_yet_is_waited_for_and_nothing_is_sent(tmp_path: Path) -> None:
    _, _, ca = make_ca(tmp_path)
    for there in ("client.crt", "client.key", None):
        folder = tmp_path / str(there)
        folder.mkdir()
        if there:
            (folder / there).write_text("not looked at")
        with unspoken_to(ca, folder) as target, pytest.raises(WaitingError) as waiting:
            target.verify(fresh())
        assert "secretops put client-cert" in waiting.value.remedy


@pytest.mark.parametrize("wrong", ["no PEM", "another's key", "a passphrase"])
def test_a_client_certificate_that_does_not_fit_is_told_before_anything_is_sent(
    certifying_mosquitto: Mosquitto, tmp_path: Path, wrong: str
) -> None:
    certificate, key = tmp_path / "client.crt", tmp_path / "client.key"
    certificate.write_bytes(certifying_mosquitto.certificate_file.read_bytes())
    _, foreign, _ = make_ca(tmp_path)
    locked = serialization.BestAvailableEncryption(new_password().encode())
    match wrong:
        case "no PEM":
            certificate.write_text("nothing")
            key.write_text("nothing")
        case "another's key":
            key.write_bytes(pem_of(foreign, serialization.NoEncryption()))
        case _:
            key.write_bytes(pem_of(foreign, locked))
    with unspoken_to(certifying_mosquitto.ca_file, tmp_path) as target, pytest.raises(UsageError) as refused:
        target.verify(fresh())
    assert str(key) in refused.value.what
    assert "secretops put client-cert" in refused.value.remedy


def pem_of(key: ec.EllipticCurvePrivateKey, encryption: serialization.KeySerializationEncryption) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)


@contextmanager
def unspoken_to(ca_file: Path, certificates: Path) -> Iterator[Target]:
    """A target with the client certificate of a folder, whose broker nobody may even connect to."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        broker = Broker(
            kind=BrokerKind.MOSQUITTO,
            host="127.0.0.1",
            port=server.getsockname()[1],
            protocol=MqttProtocol.V5,
            tls=True,
            ca_file=str(ca_file),
            certificate_file=str(certificates / "client.crt"),
            key_file=str(certificates / "client.key"),
        )
        yield open_target(broker, SecretKind.MQTT_USER)
        with pytest.raises(BlockingIOError):
            server.accept()


# What only the commands of Coreflux need


@pytest.mark.parametrize("bad", ["two words", 'quo"te', "quo'te", "-dash", "back\\slash", "new\nline", ""])
def test_what_a_command_would_take_apart_is_refused_unsent(bad: str) -> None:
    nowhere = Broker(kind=BrokerKind.COREFLUX, host="localhost", port=1, protocol=MqttProtocol.V311, tls=False)
    target = CorefluxTarget(nowhere, admin=False)
    for attempt in _jobs(
        lambda: target.apply(fresh(), fresh(username="somebody", password=bad or None) if bad else fresh(username=" ")),
        lambda: target.apply(fresh(), fresh(username=bad or " ")),
        lambda: target.retire(fresh(), bad),
    ):
        with pytest.raises(RefusedError, match="cannot be sent in a command"):
            attempt()


def test_an_admin_without_user_management_is_told_which_flag_it_needs(embedded_broker: Embedded) -> None:
    broker, half = embedded_broker.broker(), fresh()
    CorefluxTarget(broker, admin=False).apply(embedded_broker.admin, half)
    with Connection(broker, embedded_broker.admin) as connection:
        Commands(connection).run("changeUserSettings", half["username"], "AllowedSystemConfiguration", "true")
    with pytest.raises(RefusedError, match="Permission denied") as refused:
        CorefluxTarget(broker, admin=False).apply(half, fresh())
    assert "AllowedUserManagement" in refused.value.rule


def test_only_broker_users_have_a_target() -> None:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)
    for kind in SecretKind:
        if kind.alternates:
            assert isinstance(open_target(broker, kind), MosquittoTarget)
        else:
            with pytest.raises(UsageError):
                open_target(broker, kind)
