"""Which reports of servers are read, and who may write them on mosquitto. No broker runs."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from typing import Any
from unittest import mock

import pytest
from paho.mqtt.client import Client, MQTTMessage

from secretops.errors import RefusedError, SecretopsError, UnreachableError
from secretops.targets import reports as replicas
from secretops.targets.connection import MOST_MESSAGES, Connection
from secretops.targets.mosquitto import may_publish, publishers
from secretops.targets.reports import REPORTS, ReportsError, read_reports, report_text, report_topic, reports_of
from secretops.values import Value
from tests.real.agent_stack import NO_BROKER
from tests.unit.memory import NOW

READER = Value({"username": "user-b", "password": "of-no-broker"})
USERS = ("user-a", "user-b")
TEXT = report_text("mqtt", "v2", NOW)


class Retaining:
    """A session at a broker that has these retained messages. It drops messages that exceed its queue."""

    address = "localhost:1"

    def __init__(self, retained: Sequence[tuple[str, str]], queue: int = 1_000) -> None:
        self.retained, self.queue, self.sent = retained, queue, list[tuple[str, str]]()

    def __enter__(self) -> Retaining:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def subscribe(self, topic_filter: str) -> None:
        self.sent += [each for each in self.retained if each[0].startswith(topic_filter.removesuffix("#"))]

    def publish(self, topic: str, payload: str) -> None:
        self.sent = [*self.sent, (topic, payload)][: self.queue]

    def receive(self, wanted: Any, *, within: float | None = None) -> Any:  # noqa: ARG002 - nothing takes time
        while self.sent:
            topic, payload = self.sent.pop(0)
            message = MQTTMessage(topic=topic.encode())
            message.payload = payload.encode()
            if (found := wanted(message)) is not None:
                return found
        return None


def read(monkeypatch: pytest.MonkeyPatch, session: Retaining) -> list[str]:
    monkeypatch.setattr(replicas, "Connection", lambda *_, **__: session)
    return [one.id for one in read_reports(NO_BROKER, READER, USERS)]


REAL = [(report_topic(user, f"server-{user}"), TEXT) for user in USERS]
FORGED = [(report_topic("user-b", f"forged-{number}"), TEXT) for number in range(MOST_MESSAGES)]


@pytest.mark.parametrize(("retained", "expected"), [
    pytest.param(REAL, ["server-user-a", "server-user-b"], id="those of both users"),
    pytest.param([*REAL, (report_topic("mallory", "forged"), TEXT)], ["server-user-a", "server-user-b"], id="other"),
    pytest.param([REAL[0], (REAL[0][0], ""), REAL[1]], ["server-user-b"], id="emptied"),
    pytest.param([], [], id="none"),
])  # fmt: skip
def test_reports_are_read_below_the_users_of_the_secret(
    monkeypatch: pytest.MonkeyPatch, retained: list[tuple[str, str]], expected: list[str]
) -> None:
    assert read(monkeypatch, Retaining(retained)) == expected


@pytest.mark.parametrize(("retained", "queue"), [
    pytest.param([*FORGED, *REAL], MOST_MESSAGES, id="the end is dropped"),
    pytest.param([*REAL, (report_topic("user-b", "x"), "no report")], MOST_MESSAGES, id="no report"),
    pytest.param([*REAL, (f"{reports_of('user-b')}/x/y", TEXT)], MOST_MESSAGES, id="of no server"),
])  # fmt: skip
def test_reports_that_may_be_incomplete_are_not_known(
    monkeypatch: pytest.MonkeyPatch, retained: list[tuple[str, str]], queue: int
) -> None:
    with pytest.raises(ReportsError):
        read(monkeypatch, Retaining(retained, queue))


@pytest.mark.parametrize("error", [RefusedError("no right", code="test"), UnreachableError("gone", code="test")])
def test_failure_after_the_login_is_not_one_of_the_login(
    monkeypatch: pytest.MonkeyPatch, error: SecretopsError
) -> None:
    session = Retaining([])
    monkeypatch.setattr(session, "subscribe", mock.Mock(side_effect=error))
    with pytest.raises(ReportsError, match=error.what):
        read(monkeypatch, session)


def test_connection_gives_up_when_the_broker_sends_without_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = socket.socketpair()
    monkeypatch.setattr(Client, "_create_socket", lambda _self: ours)
    topic = report_topic("user-b", "forged").encode()
    packet = bytes([0x30, len(topic) + 3, 0, len(topic)]) + topic + b"\x00"

    def flood() -> None:
        theirs.sendall(bytes([0x20, 3, 0, 0, 0]))  # CONNACK
        try:
            while True:
                theirs.sendall(packet * 100)
        except OSError:
            return

    sending = threading.Thread(target=flood)
    sending.start()
    try:
        with pytest.raises(UnreachableError, match=f"{MOST_MESSAGES:,}"), Connection(NO_BROKER, READER) as connection:
            connection.subscribe(f"{REPORTS}/#")
    finally:
        theirs.shutdown(socket.SHUT_RDWR)
        sending.join()
        theirs.close()


def allow(topic: str, priority: int = 0, *, kind: str = "publishClientSend") -> dict[str, object]:
    return {"acltype": kind, "topic": topic, "priority": priority, "allow": True}


def deny(topic: str, priority: int = 0) -> dict[str, object]:
    return {**allow(topic, priority), "allow": False}


TREE = reports_of("user-a")
DENIED = deny(f"{REPORTS}/#", 1)


@pytest.mark.parametrize(
    ("entries", "expected"),
    [([], False), ([allow("#")], True), ([allow("+/replicas/+/x")], True), ([allow(f"{TREE}/x/y")], True),
     ([allow(f"{REPORTS}/%u/#")], True), ([allow(f"{REPORTS}/of-%c")], True),
     ([allow("#"), deny(f"{REPORTS}/%u/#", 1)], True), ([allow("coreflux-mcp-secrets/+")], False),
     ([allow("plant/#"), allow(f"{REPORTS}/user-b/#")], False), ([allow("#", kind="publishClientReceive")], False),
     ([allow("#"), DENIED], False), ([allow("#"), DENIED, allow(f"{TREE}/#", 2)], True),
     ([allow("#", 1), DENIED], True), ([allow("#"), deny(f"{REPORTS}/+/x", 1)], True),
     ([allow("#"), deny("coreflux-mcp-secrets/replicas", 1)], True), ([allow("#"), deny("+/+/#", 1)], False)],
    ids=str,
)  # fmt: skip
def test_role_may_publish_reports_by_its_highest_entry(entries: list[dict[str, object]], expected: bool) -> None:
    assert may_publish(entries, TREE) is expected


def access(**changes: object) -> dict[str, object]:
    """Return the plugin's answers about a server's user, an admin and another user, with `changes`."""
    roles = [
        {"rolename": "server", "acls": [allow("#"), DENIED, allow(f"{TREE}/#", 2)]},
        {"rolename": "plant", "acls": [allow("plant/#")]},
        {"rolename": "all", "acls": [allow("#")]},
    ]
    return {
        "acls": [{"acltype": "publishClientSend", "allow": False}, {"acltype": "subscribe", "allow": True}],
        "group": {"groupname": "anonymous"},
        "roles": roles,
        "groups": [
            {"groupname": "anonymous", "roles": []},
            {"groupname": "everything", "roles": [{"rolename": "all"}]},
        ],
        "clients": [{"username": "user-a", "roles": [{"rolename": "server"}]}, plant("plant")],
        **changes,
    }


def plant(role: str, *groups: str) -> dict[str, object]:
    return {"username": "plc", "roles": [{"rolename": role}], "groups": [{"groupname": name} for name in groups]}


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, {"user-a"}), ({"clients": [plant("all")]}, {"plc"}), ({"clients": [plant("plant", "everything")]}, {"plc"}),
     ({"groups": [{"groupname": "anonymous", "roles": [{"rolename": "all"}]}]}, None),
     ({"acls": [{"acltype": "publishClientSend", "allow": True}]}, None)],
    ids=["its user alone", "by a role", "by a group", "anonymous", "by default"],
)  # fmt: skip
def test_publishers_are_found_by_role_group_and_default(changes: dict[str, object], expected: set[str] | None) -> None:
    assert publishers(access(**changes), TREE) == expected
