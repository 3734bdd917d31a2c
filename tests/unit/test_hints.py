"""Hints at new versions: what a rotator publishes, and when a launcher polls for one. The clock is an argument."""

from typing import Any, cast

import pytest
from paho.mqtt.client import MQTTMessage

from secretops.engine.state import Stage
from secretops.errors import UnreachableError
from secretops.hints import HINT_FILTER, Hint, parse_hint
from secretops.launcher import follow_hints
from secretops.launcher.client import BrokerClient
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.polled import EVERY_SECONDS, HINT_POLLS, HINT_SECONDS, Given, Polled
from secretops.manifest import (
    AwsStore,
    Broker,
    BrokerKind,
    DotenvStore,
    Manifest,
    MqttProtocol,
    Reader,
    Secret,
    SecretKind,
)
from secretops.operations import session as sessions
from secretops.operations.session import Session
from secretops.topics import REPORTS
from secretops.values import Value
from tests.unit.memory import NOW, Memory, version

BROKER = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=MqttProtocol.V5, tls=True)


class Polling(Polled):
    def __init__(self) -> None:
        self.now, self.version, self.polls = 1_000.0, "v1", 0
        super().__init__("memory", ["mqtt"], str, every=EVERY_SECONDS, clock=lambda: self.now)
        self.fingerprint()
        self.polls = 0

    def mark(self, name: str) -> str:  # noqa: ARG002
        self.polls += 1
        return self.version

    def give(self, name: str, mark: str) -> Given:  # noqa: ARG002
        return Given(mark, Value({"username": "server-a", "password": "of-no-broker"}))

    def passes(self, seconds: float) -> None:
        """Let time pass in which the follower looks every second."""
        end = self.now + seconds
        while self.now < end:
            self.now += 1
            self.fingerprint()


@pytest.fixture
def source() -> Polling:
    return Polling()


def in_use(source: Polling) -> str:
    return source.variables()["SECRETOPS_VERSION_MQTT"]


def test_hinted_version_is_in_use_at_once(source: Polling) -> None:
    source.passes(HINT_SECONDS)
    source.version = "v2"
    source.hint(Hint("mqtt", "v2"))
    source.passes(1)
    assert (in_use(source), source.polls) == ("v2", 1)
    source.passes(EVERY_SECONDS / 2)
    assert source.polls == 1


def test_version_without_a_hint_is_found_by_the_poll(source: Polling) -> None:
    source.version = "v2"
    source.passes(0.8 * EVERY_SECONDS)
    assert in_use(source) == "v1"
    source.passes(0.4 * EVERY_SECONDS)
    assert (in_use(source), source.polls) == ("v2", 1)


def test_thousand_forged_hints_a_second_lead_to_seven_polls_a_minute(source: Polling) -> None:
    source.passes(HINT_SECONDS)
    for number in range(60_000):
        source.hint(Hint("mqtt", f"forged-{number}"))
        source.now += 0.001
        if number % 100 == 0:
            source.fingerprint()
    assert 1 < source.polls <= 7


@pytest.mark.parametrize("hint", [Hint("mqtt", "v1"), Hint("other", "v2")], ids=["in use", "no secret of the server's"])
def test_hint_of_nothing_new_leads_to_no_poll(source: Polling, hint: Hint) -> None:
    source.passes(HINT_SECONDS)
    source.hint(hint)
    source.passes(HINT_SECONDS)
    assert source.polls == 0


def test_hint_is_not_lost_to_a_replayed_one_of_the_version_in_use(source: Polling) -> None:
    source.passes(HINT_SECONDS)
    source.version = "v2"
    source.hint(Hint("mqtt", "v2"))
    source.hint(Hint("mqtt", "v1"))
    source.passes(1)
    assert in_use(source) == "v2"


def test_hinted_version_is_polled_for_again_while_a_store_does_not_have_it(source: Polling) -> None:
    source.passes(HINT_SECONDS)
    source.hint(Hint("mqtt", "v2"))
    source.passes(2)
    source.version = "v2"
    source.passes(HINT_SECONDS)
    assert (in_use(source), source.polls) == ("v2", 2)
    source.hint(Hint("mqtt", "forged"))
    source.passes(EVERY_SECONDS / 2)
    assert source.polls == 2 + HINT_POLLS


class Connected:
    """The part of a `BrokerConnection` that hints need."""

    def __init__(self) -> None:
        self.own_listeners: dict[str, Any] = {}
        self.on_refused: Any = None


def test_launcher_polls_for_a_hint_and_for_a_refused_login_and_for_no_other_message(source: Polling) -> None:
    connection = Connected()
    follow_hints(source, cast(BrokerConnection, connection))
    for act, polls in (
        (lambda: received(connection, b'{"secret": "mqtt", "version": "v2"}'), HINT_POLLS),
        (lambda: received(connection, b"no hint"), 0),
        (connection.on_refused, 1),
    ):
        source.passes(HINT_SECONDS)
        source.polls = 0
        act()
        source.passes(HINT_SECONDS * HINT_POLLS)
        assert source.polls == polls


def received(connection: Connected, payload: bytes) -> None:
    message = MQTTMessage()
    message.payload = payload
    connection.own_listeners[HINT_FILTER](None, None, message)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xff",
        b"[]",
        b'"mqtt"',
        b'{"secret": "mqtt"}',
        b'{"secret": "mqtt", "version": 1}',
        b'{"secret": "mqtt", "version": "' + b"x" * 1_000 + b'"}',
        b"[" * 900,
    ],
    ids=lambda payload: repr(payload[:30]),
)
def test_payload_that_is_no_hint_is_ignored(payload: bytes) -> None:
    assert parse_hint(payload) is None


def session(store: AwsStore | DotenvStore, *readers: Reader) -> tuple[Session, Secret]:
    """Return a session whose secret mqtt has a current version, and that secret."""
    secret = Secret(
        name="mqtt",
        kind=SecretKind.MQTT_USER,
        fields=("username", "password"),
        readers=readers,
        cadence_days=90,
        users=("a", "b"),
    )
    memory = Memory("mqtt")
    memory.keep(version(Stage.CURRENT, "a"))
    manifest = Manifest(
        project="p", stack="s", store=store, broker=BROKER, secrets=(secret,), grace_seconds=3600, replicas=3
    )
    return Session(manifest=manifest, store=memory.store(), journal=memory, clock=lambda: NOW), secret


TABLE = f"arn:aws:dynamodb:eu-central-1:{'0' * 12}:table/lease"
POLLED = AwsStore(account="0" * 12, region="eu-central-1", secrets={"mqtt": "p/mqtt"}, lease=TABLE)


@pytest.mark.parametrize(
    ("store", "readers", "expected"),
    [
        pytest.param(POLLED, [Reader.SERVER, Reader.ROTATOR], [Hint("mqtt", "v2")], id="polled by launchers"),
        pytest.param(POLLED, [Reader.ROTATOR], [], id="of the rotator"),
        pytest.param(DotenvStore(root="/nowhere/store"), [Reader.SERVER], [], id="watched by launchers"),
    ],
)
def test_new_version_is_hinted_at_where_launchers_poll(
    monkeypatch: pytest.MonkeyPatch, store: AwsStore | DotenvStore, readers: list[Reader], expected: list[Hint]
) -> None:
    published: list[Hint] = []
    monkeypatch.setattr(sessions, "publish_hint", lambda _broker, _value, hint: published.append(hint))
    opened, secret = session(store, *readers)
    opened.hint(secret, "v2")
    assert published == expected


@pytest.mark.parametrize("error", [UnreachableError("no answer"), OSError("of no kind we know")])
def test_hint_that_fails_fails_no_rotation(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(sessions, "publish_hint", fail)
    opened, secret = session(POLLED, Reader.SERVER)
    opened.hint(secret, "v2")


def test_server_publishes_no_report_by_a_tool() -> None:
    client = BrokerClient("mcp-1", MqttProtocol.V5, cast(BrokerConnection, Connected()))
    with pytest.raises(ValueError, match=REPORTS):
        client.publish(f"{REPORTS}/user-a/server-1", "", retain=True)
