"""Brokers and readers with arbitrary answers: a target accepts or ignores them, and never fails."""

import json
import re
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from paho.mqtt.client import MQTTMessage

from secretops.engine.state import Replica
from secretops.errors import RefusedError, UnreachableError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.targets import coreflux
from secretops.targets.connection import Connection
from secretops.targets.coreflux import Commands, CorefluxTarget
from secretops.targets.mosquitto import DynamicSecurity
from secretops.targets.reports import REPORTS, _collect
from secretops.values import Value, new_password
from tests.unit.fuzz import BOUNDED, JSON, SPITEFUL, texts

TOKEN = "0011223344556677"  # Replaced by the correlation id of the request.


class Session:
    """A logged-in `Connection`: each request is answered with `replies`."""

    address, username = "broker:8883", "admin"

    def __init__(self, replies: list[bytes]) -> None:
        self._replies, self._token = replies, b""

    def subscribe(self, _topic: str) -> None: ...

    def publish(self, _topic: str, payload: str) -> None:
        self._token = re.findall(rb"\b[0-9a-f]{16}\b", payload.encode())[-1]

    def receive(self, wanted: Callable[[MQTTMessage], Any], **_: Any) -> Any:
        for reply in self._replies:
            message = MQTTMessage()
            message.payload = reply.replace(TOKEN.encode(), self._token)
            if (found := wanted(message)) is not None:
                return found
        return None


def connection(replies: list[bytes]) -> Connection:
    return cast(Connection, Session(replies))


DYNSEC = (
    {"responses": [{"command": "getClient", "correlationData": TOKEN, "data": {"client": {"username": "a"}}}]},
    {"responses": [{"command": "getClient", "correlationData": TOKEN, "error": "Client not found"}]},
    {"responses": [{"command": "getClient", "correlationData": TOKEN, "error": None, "data": None}]},
)
COREFLUX = (
    {"requestId": TOKEN, "success": True, "message": "ok", "errors": []},
    {"requestId": TOKEN, "success": False, "message": "no", "errors": [{"message": "Permission denied"}]},
    {"requestId": TOKEN, "success": False, "errors": ["User 'a' already exists"]},
)


@BOUNDED
@given(st.lists(texts(DYNSEC), max_size=3))
def test_mosquittos_plugin_may_answer_anything(replies: list[bytes]) -> None:
    for method in ("run", "find"):
        security = DynamicSecurity(connection(replies))
        try:
            found = security.run("getClient") if method == "run" else security.find("getClient", "Client not found")
        except RefusedError as error:
            assert error.what and error.remedy
            continue
        assert found is None or isinstance(found, dict)


@BOUNDED
@given(st.lists(texts(COREFLUX), max_size=3))
def test_a_coreflux_broker_may_answer_anything(replies: list[bytes]) -> None:
    try:
        answer = Commands(connection(replies)).send("addUser", "a", "x")
    except RefusedError as error:
        assert error.what and error.remedy
        return
    assert isinstance(answer.data, dict) and (answer.error is None or answer.error.what)


@BOUNDED
@given(JSON | SPITEFUL)
def test_only_true_is_yes(success: Any) -> None:
    """A broker's success must be `true`, not "true" or 1, because a credential depends on it."""
    replies = [json.dumps({"requestId": TOKEN, "success": success}).encode()]
    assert (Commands(connection(replies)).send("addUser", "a", "x").error is None) == (success is True)


@pytest.mark.parametrize("existing", [[], ["admin"], ["admin", "server"]], ids=["degraded", "no user", "no change"])
def test_coreflux_user_counts_as_missing_only_if_the_broker_lists_users(
    existing: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(self: Session, _topic: str, payload: str) -> None:
        command, user, *_, token = payload.split()
        success = command == "-listUserGroups" and user in existing
        self._replies = [json.dumps({"requestId": token, "success": success, "message": "full"}).encode()]

    broker = Broker(kind=BrokerKind.COREFLUX, host="localhost", port=1, protocol=MqttProtocol.V311, tls=True)
    target = CorefluxTarget(broker, admin=False)
    monkeypatch.setattr(Session, "publish", publish)
    monkeypatch.setattr(target, "_open", lambda _: nullcontext(connection([])))
    monkeypatch.setattr(coreflux, "logs_in", lambda *_, **__: False)
    admin, server = (Value({"username": name, "password": new_password()}) for name in ("admin", "server"))
    with nullcontext() if existing == ["admin"] else pytest.raises(RefusedError, match="full"):
        target.retire(admin, "server")
    expected = "-changeUserPassword" if "server" in existing else "-addUser"
    with pytest.raises(RefusedError, match=expected):
        target.apply(admin, server)


REPORT = ({"secret": "mqtt", "version": "v1", "since": "2026-03-01T12:00:00+00:00"},)


@BOUNDED
@given(texts(REPORT), st.sampled_from([f"{REPORTS}/mcp-a/id", f"{REPORTS}/%ff/%", f"{REPORTS}/a", f"{REPORTS}/a/b/c"]))
def test_anybody_may_report_anything_as_a_replica(payload: bytes, topic: str) -> None:
    message = MQTTMessage(topic=topic.encode())
    message.payload = payload
    found: dict[str, Replica] = {}
    with suppress(UnreachableError):
        _collect(message, found)
    for replica in found.values():
        assert replica.since.utcoffset() is not None
        assert all(isinstance(text, str) for text in (replica.id, replica.user, replica.secret, replica.version))


def test_an_answer_too_deep_for_json_is_none() -> None:
    deep = b'{"responses":' * 50_000
    with pytest.raises(RefusedError):
        DynamicSecurity(connection([deep])).run("listRoles")
    with pytest.raises(RefusedError):
        Commands(connection([deep])).run("listUserGroups", "admin")
