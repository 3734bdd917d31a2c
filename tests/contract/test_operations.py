"""put, rotate and tick on a real broker and the real store, with changes by an operator in between."""

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from components.settings.sections import OutsideBroker
from secretops import redaction
from secretops.certificates import private_pem
from secretops.engine.rotator import GraceError
from secretops.engine.state import Version
from secretops.errors import RefusedError, StoreError, UnreachableError, UsageError, WaitingError
from secretops.operations.broker_access import BrokerAdmin
from secretops.operations.tick import exit_code
from secretops.stores import files
from secretops.targets import open_target
from secretops.targets.connection import Connection
from secretops.targets.mosquitto import SEND, DynamicSecurity
from secretops.targets.reports import report_text, report_topic
from secretops.values import Value, new_password
from tests.real.embedded import Embedded, start_embedded
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.stack import DEADLINE, MqttSession, Stack, log_in, make_stack
from tests.unit.signing import made

pytestmark = pytest.mark.real

DAY = 86_400


@pytest.fixture
def stack(tmp_path: Path, embedded_broker: Embedded) -> Stack:
    stack = make_stack(tmp_path / "store", embedded_broker.broker())
    stack.put("broker-admin", dict(embedded_broker.admin))
    return stack


def admin_sets(stack: Stack, username: str, password: str | None = None) -> Value:
    fields = Value({"username": username, "password": password or new_password()})
    secret = stack.manifest.secret("mqtt")
    open_target(stack.manifest.broker, secret.kind).apply(BrokerAdmin(stack.session()).credential(), fields)
    return fields


def current(stack: Stack, name: str = "mqtt") -> Version:
    version = stack.session().store.versions(name).current
    assert version
    return version


def errors(stack: Stack) -> dict[str, object]:
    return {one.secret: one.error for one in stack.tick() if one.error}


def test_the_users_take_turns_and_the_replaced_one_is_refused_after_the_grace(stack: Stack) -> None:
    stack.rotate()
    first = stack.credential()
    stack.rotate()
    second = stack.credential()
    assert {first["username"], second["username"]} == set(stack.manifest.secret("mqtt").users)
    stack.tick()
    assert stack.log_in(first) == "Success"
    stack.skip_grace()
    assert errors(stack) == {}
    assert stack.log_in(first) != "Success"
    assert stack.log_in(second) == "Success"
    assert stack.tick()[1].done == (f"verified {current(stack).id}",)
    before = current(stack).id
    stack.clock.skip(90 * DAY)
    assert errors(stack) == {}
    assert current(stack).id != before, "it is due"


def report(session: MqttSession, user: str, version: str, *, servers: int) -> None:
    """Publish `servers` retained reports, with QoS 1, or if there are tens of thousands, with QoS 0."""
    text = report_text("mqtt", version, datetime.now(UTC))
    for number in range(servers - 1):
        session._client.publish(report_topic(user, f"server-{number}"), text, qos=int(servers < 10_000), retain=True)
    assert session.publishes(report_topic(user, f"server-{servers - 1}"), text, retain=True)


@pytest.mark.parametrize(("forged", "emptied"), [
    pytest.param(3, True, id="emptied and replaced"),
    pytest.param(1_100, False, id="before the real ones in the queue"),
    pytest.param(60_000, False, id="more than is read", marks=pytest.mark.slow),
])  # fmt: skip
def test_forged_reports_do_not_retire_the_user_in_use(tmp_path: Path, forged: int, emptied: bool) -> None:
    mosquitto = start_mosquitto(tmp_path)
    try:
        stack = make_stack(tmp_path / "store", mosquitto.broker(), grace_seconds=3600)
        stack.manifest = stack.manifest.model_copy(update={"replicas": 3})
        stack.put("broker-admin", dict(mosquitto.admin))
        stack.rotate()
        in_use, old = stack.credential(), current(stack).id
        with MqttSession(stack.manifest.broker, in_use) as server:
            new = stack.rotate()
            attacker = operators_user(mosquitto)
            with MqttSession(stack.manifest.broker, attacker) as session:
                if emptied:
                    report(server, in_use["username"], old, servers=3)
                    for number in range(3):
                        session.publishes(report_topic(in_use["username"], f"server-{number}"), "", retain=True)
                report(session, new.user or "", new.id, servers=forged)
                if not emptied:  # the first retained is the first sent
                    report(server, in_use["username"], old, servers=3)
            assert errors(stack) == {}
            assert server.publishes(), "the user in use was retired within its grace"
            stack.skip_grace()
            assert errors(stack) == {}
            assert server.ended.wait(DEADLINE)
    finally:
        mosquitto.stop()


@pytest.mark.slow
def test_tick_goes_on_when_the_embedded_broker_is_flooded_with_reports(tmp_path: Path) -> None:
    embedded = start_embedded(tmp_path)
    try:
        stack = make_stack(tmp_path / "store", embedded.broker())
        stack.put("broker-admin", dict(embedded.admin))
        stack.rotate()
        new = stack.rotate()
        with MqttSession(stack.manifest.broker, embedded.admin) as session:
            report(session, new.user or "", new.id, servers=60_000)
        for _ in range(3):
            assert errors(stack) == {}
    finally:
        embedded.stop()


def operators_user(mosquitto: Mosquitto) -> Value:
    """Return an operator's own user, which may publish anywhere."""
    user = Value({"username": "plc", "password": new_password()})
    with Connection(mosquitto.broker(), mosquitto.admin) as connection:
        security = DynamicSecurity(connection)
        acl = {"acltype": SEND, "topic": "#", "priority": 0, "allow": True}
        security.run("createRole", rolename="plant", acls=[acl])
        security.run("createClient", **user, roles=[{"rolename": "plant"}])
    return user


def test_previous_user_is_retired_within_the_grace_once_every_server_reports(tmp_path: Path) -> None:
    mosquitto = start_mosquitto(tmp_path)
    try:
        stack = make_stack(tmp_path / "store", mosquitto.broker(), grace_seconds=3600)
        stack.manifest = stack.manifest.model_copy(update={"replicas": 3})
        stack.put("broker-admin", dict(mosquitto.admin))
        stack.rotate()
        replaced = stack.credential()
        new = stack.rotate()
        with MqttSession(stack.manifest.broker, stack.credential()) as server:
            report(server, new.user or "", new.id, servers=2)
            stack.tick()
            assert stack.log_in(replaced) == "Success"
            report(server, new.user or "", new.id, servers=3)
            stack.tick()
            assert stack.log_in(replaced) != "Success"
    finally:
        mosquitto.stop()


def test_put_within_the_grace_is_refused_and_a_forced_put_retires_the_old_user(stack: Stack) -> None:
    stack.rotate()
    first = stack.credential()
    stack.rotate()
    fields = admin_sets(stack, "operators-own-" + new_password()[:6])
    with pytest.raises(GraceError) as refused:
        stack.put("mqtt", fields)
    assert "--now" in refused.value.remedy
    assert stack.log_in(first) == "Success"
    stack.put("mqtt", fields, force=True)
    assert stack.credential() == fields
    assert stack.log_in(first) != "Success"


def test_tick_detects_a_password_changed_out_of_band_and_rotate_repairs_it(stack: Stack) -> None:
    stack.rotate()
    admin_sets(stack, stack.credential()["username"])
    found = errors(stack)
    assert isinstance(found["mqtt"], RefusedError) and "secretops rotate mqtt" in found["mqtt"].remedy
    stack.rotate()
    assert errors(stack) == {}
    assert stack.log_in() == "Success"


@pytest.mark.slow
@pytest.mark.parametrize("adopts", [True, False])
def test_second_store_keeps_a_user_in_use_until_forced(embedded_broker: Embedded, tmp_path: Path, adopts: bool) -> None:
    broker, admin = embedded_broker.broker(), embedded_broker.admin
    first = make_stack(tmp_path / "first", broker)
    users, admins = (first.manifest.secret(name).users for name in ("mqtt", "broker-admin"))
    second = make_stack(tmp_path / "second", broker, users=(users[0], users[1]), admins=(admins[0], admins[1]))
    for stack in (first, second):
        stack.put("broker-admin", dict(admin))
    first.rotate("broker-admin")
    first.rotate()
    with MqttSession(broker, first.credential()) as live:
        outcomes = second.tick()
        assert exit_code(outcomes) == 1
        reported = next(str(one.error) for one in outcomes if one.error)
        assert first.credential()["username"] in reported
        assert "secretops put mqtt" in reported and "secretops rotate mqtt --now" in reported
        with pytest.raises(RefusedError, match="secretops rotate broker-admin --now"):
            second.rotate("broker-admin")
        assert live.publishes()
    assert first.log_in() == "Success"
    assert first.log_in(first.credential("broker-admin")) == "Success"
    if adopts:
        second.put("mqtt", first.credential())
        assert second.credential() == first.credential()
    else:
        second.rotate(force=True)
        assert second.log_in() == "Success" and first.log_in() != "Success"
    assert "mqtt" not in errors(second)


def test_an_unexpected_error_about_one_secret_stops_no_other_and_shows_no_value(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    secret = Value({"api-key": new_password()})["api-key"]
    plain = type(stack.session().store).recover

    def recover(store: object, name: str, now: datetime) -> None:
        if name == "broker-admin":
            raise ValueError(f"a library's words about {secret}")
        plain(store, name, now)  # type: ignore[arg-type]

    monkeypatch.setattr(type(stack.session().store), "recover", recover)
    factory = logging.getLogRecordFactory()
    redaction.install()
    try:
        outcomes = stack.tick()
    finally:
        logging.setLogRecordFactory(factory)
    assert exit_code(outcomes) == 1
    failed = {one.secret: str(one.error) for one in outcomes if one.error}
    assert list(failed) == ["broker-admin"]
    assert "ValueError" in failed["broker-admin"]
    assert "a library's words" not in failed["broker-admin"]
    assert "Traceback" in caplog.text
    assert "in recover" in caplog.text
    assert secret not in caplog.text
    assert stack.log_in() == "Success"


def test_one_secrets_failure_does_not_stop_the_others(stack: Stack) -> None:
    (stack.root / "versions" / "agent-key").mkdir()
    (stack.root / "versions" / "agent-key" / "state.json").write_text("garbage")
    assert list(errors(stack)) == ["agent-key"]
    assert stack.log_in() == "Success"


def test_tick_delivers_a_current_version_after_its_delivery_failed(stack: Stack) -> None:
    in_the_way = files.temporary(stack.env)
    in_the_way.mkdir()
    with pytest.raises(StoreError, match="secretops tick") as refused:
        stack.put("agent-key", {"api-key": new_password()})
    kept = current(stack, "agent-key")
    assert kept.id in refused.value.what
    assert "current" in refused.value.what
    assert kept.published is None
    in_the_way.rmdir()
    assert errors(stack) == {}
    assert current(stack, "agent-key").published
    assert "DO_AGENT_API_KEY=" in stack.env.read_text()


@pytest.mark.parametrize("control", ["\n", "\x1b", "\x85"])
def test_value_with_a_control_character_is_refused_and_not_printed(stack: Stack, control: str) -> None:
    text = new_password()
    for name, fields in (
        ("agent-key", {"api-key": text + control}),
        ("mqtt", {"username": "somebody", "password": text + control}),
        ("broker-admin", {"username": "some" + control + "body", "password": text}),
    ):
        with pytest.raises(UsageError, match="control character") as refused:
            stack.put(name, fields)
        assert text not in str(refused.value)


@pytest.mark.parametrize("character", [" ", "\u00fc"])
def test_key_that_an_http_header_cannot_have_is_refused(stack: Stack, character: str) -> None:
    key = new_password() + character + new_password()
    with pytest.raises(UsageError) as refused:
        stack.put("agent-key", {"api-key": key})
    assert refused.value.code == "api-token-invalid"
    assert key not in str(refused.value)


@pytest.mark.slow
def test_stack_waits_for_its_client_certificate_then_rotates(tmp_path: Path, certifying_mosquitto: Mosquitto) -> None:
    root = tmp_path / "store"
    settings = OutsideBroker(
        kind="mosquitto", host="localhost", port=certifying_mosquitto.port, client_certificate=True, topics=("#",)
    )
    stack = make_stack(root, settings.args.location(certificate_secret="client-cert"))
    with pytest.raises(WaitingError, match="secretops put client-cert"):
        stack.put("broker-admin", dict(certifying_mosquitto.admin))
    pairs = (
        ("ca.crt", certifying_mosquitto.ca_file),
        ("client.crt", certifying_mosquitto.certificate_file),
        ("client.key", certifying_mosquitto.key_file),
    )
    fields = {field: path.read_text() for field, path in pairs}
    good, now = stack.put("client-cert", fields), stack.clock()
    assert good.verified
    stranger = made("mcp-server", begins=now - timedelta(days=1), ends=now + timedelta(days=30))
    theirs = fields | {"client.crt": stranger.pem, "client.key": private_pem(stranger.key)}
    with pytest.raises(UnreachableError):
        stack.put("client-cert", theirs)
    assert [one.id for one in stack.session().store.versions("client-cert").all] == [good.id], "it is not kept"
    stack.put("broker-admin", dict(certifying_mosquitto.admin))
    assert errors(stack) == {}
    stack.rotate()
    broker = stack.session().broker
    assert log_in(broker, stack.credential()) == "Success"
    assert log_in(broker, Value({**stack.credential(), "password": new_password()})) != "Success"
