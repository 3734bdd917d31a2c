"""Hints of new versions: published by a rotator, polled by a launcher. The clock is an argument."""

import threading
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from paho.mqtt.client import MQTTMessage

from secretops.engine.state import Stage
from secretops.errors import RefusedError, SecretopsError, UnreachableError
from secretops.launcher import follow_hints, watch
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.polling_source import HINT_POLLS, HINT_SECONDS, POLL_SECONDS, PollingSource, StoredVersion
from secretops.launcher.sources import open_source
from secretops.launcher.state import LauncherState
from secretops.manifest import Manifest, Reader, Secret, SecretKind
from secretops.operations import broker_access, put, rotators
from secretops.operations.session import Session
from secretops.platforms.aws import lambda_handler
from secretops.platforms.aws.location import AwsStoreLocation
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.targets.reports import HINT_FILTER, Hint, parse_hint
from secretops.values import Value
from tests.real.agent_stack import NO_BROKER
from tests.unit.memory import NOW, Memory, version


class Polling(PollingSource):
    def __init__(self) -> None:
        self.now, self.version, self.polls = 1_000.0, "v1", 0
        self.error: SecretopsError | None = None
        super().__init__("memory", ["mqtt"], str, every=POLL_SECONDS, clock=lambda: self.now)
        self.fingerprint()
        self.polls = 0

    def revision(self, name: str) -> str:  # noqa: ARG002
        self.polls += 1
        if self.error:
            raise self.error
        return self.version

    def fetch(self, name: str, revision: str) -> StoredVersion:  # noqa: ARG002
        return StoredVersion(revision, Value({"username": "server-a", "password": "of-no-broker"}))

    def passes(self, seconds: float) -> None:
        """Let time pass. The source is polled every second."""
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
    source.passes(POLL_SECONDS / 2)
    assert source.polls == 1


def test_version_without_a_hint_is_found_by_the_poll(source: Polling) -> None:
    source.version = "v2"
    source.passes(0.8 * POLL_SECONDS)
    assert in_use(source) == "v1"
    source.passes(0.4 * POLL_SECONDS)
    assert (in_use(source), source.polls) == ("v2", 1)


def test_thousand_forged_hints_a_second_lead_to_seven_polls_a_minute(source: Polling) -> None:
    source.passes(HINT_SECONDS)
    for number in range(60_000):
        source.hint(Hint("mqtt", f"forged-{number}"))
        source.now += 0.001
        if number % 100 == 0:
            source.fingerprint()
    assert 1 < source.polls <= 7


@pytest.mark.parametrize(
    "error", [UnreachableError("no answer", code="test"), RefusedError("no right", code="test"), None]
)
def test_last_poll_metric_keeps_the_time_of_the_last_read_while_the_source_fails(
    error: SecretopsError | None, source: Polling, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    env, state, ages = tmp_path / ".env", LauncherState(), list[float]()
    followed = source if error else open_source(f"file:{env}")
    monkeypatch.setattr(time, "time", lambda: source.now)
    monkeypatch.setattr(watch, "wakeups", lambda *_: iter(range(400)))

    def poll() -> bool:
        source.now += 1
        return not followed.fingerprint()

    for fails in (False, True, True, True, False):
        source.error = error if fails else None
        env.unlink(missing_ok=True) if fails else env.write_text("MQTT_BROKER=localhost\n")
        watch.keep_polling(poll, followed, threading.Event(), state)
        ages.append(source.now - state.read_at)
    assert max(ages[0], ages[-1]) <= 1.2 * POLL_SECONDS < 1200 <= ages[3]


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
    source.passes(POLL_SECONDS / 2)
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


NO_HINTS = [b"", b"\xff", b"[]", b'"mqtt"', b'{"secret": "mqtt"}', b'{"secret": "mqtt", "version": 1}', b"[" * 900]
TOO_LONG = b'{"secret": "mqtt", "version": "' + b"x" * 1_000 + b'"}'


@pytest.mark.parametrize("payload", [*NO_HINTS, TOO_LONG], ids=lambda payload: repr(payload[:30]))
def test_payload_that_is_no_hint_is_ignored(payload: bytes) -> None:
    assert parse_hint(payload) is None


def session(store: AwsStoreLocation | DotenvStoreLocation, *readers: Reader) -> tuple[Session, Secret]:
    """Return a session, and its secret mqtt, which has a current version."""
    fields, users = ("username", "password"), ("a", "b")
    secret = Secret(
        name="mqtt", kind=SecretKind.MQTT_USER, fields=fields, readers=readers, cadence_days=90, users=users
    )
    memory = Memory("mqtt")
    memory.keep(version(Stage.CURRENT, "a"))
    manifest = Manifest(
        project="p", stack="s", store=store, broker=NO_BROKER, secrets=(secret,), grace_seconds=3600, replicas=3
    )
    return Session(manifest=manifest, store=memory.store(), journal=memory, clock=lambda: NOW), secret


TABLE = f"arn:aws:dynamodb:eu-central-1:{'0' * 12}:table/lease"
POLLED = AwsStoreLocation(account="0" * 12, region="eu-central-1", secrets={"mqtt": "p/mqtt"}, lease=TABLE)


@pytest.mark.parametrize(("store", "readers", "expected"), [
    pytest.param(POLLED, [Reader.SERVER, Reader.ROTATOR], ["mqtt"] * 3, id="polled by launchers"),
    pytest.param(POLLED, [Reader.ROTATOR], [], id="of the rotator"),
    pytest.param(DotenvStoreLocation(root="/nowhere/store"), [Reader.SERVER], [], id="watched by launchers"),
])  # fmt: skip
def test_new_version_is_hinted_at_where_launchers_poll(
    monkeypatch: pytest.MonkeyPatch,
    store: AwsStoreLocation | DotenvStoreLocation,
    readers: list[Reader],
    expected: list[str],
) -> None:
    moved: Any = SimpleNamespace(advance=lambda **_: version(Stage.CURRENT, "a"), publish=lambda _version: None)
    published: list[str] = []
    monkeypatch.setattr(broker_access, "publish_hint", lambda _broker, _value, hint: published.append(hint.secret))
    monkeypatch.setattr(rotators, "rotation", lambda *_: moved)
    monkeypatch.setattr(lambda_handler, "_prepared", lambda *_: replace(version(Stage.PENDING, "b"), verified=NOW))
    opened, secret = session(store, *readers)
    rotators.advance(opened, secret, moved)
    lambda_handler._run_step("finishSecret", opened, secret, "v2")
    put.publish(opened, secret, Value({"username": "b", "password": "of-no-broker"}))
    assert published == expected


@pytest.mark.parametrize("error", [UnreachableError("no answer", code="test"), OSError("of no kind we know")])
def test_hint_that_fails_fails_no_rotation(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(broker_access, "publish_hint", fail)
    opened, secret = session(POLLED, Reader.SERVER)
    broker_access.hint(opened, secret, "v2")
