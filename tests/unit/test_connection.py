"""Which answers of a broker prove a login. A socket pair has real packets."""

import socket
from types import SimpleNamespace

import pytest
from paho.mqtt.client import Client

from secretops.errors import UnreachableError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.targets import connection
from secretops.targets.connection import logs_in
from secretops.values import Value

WHO = Value({"username": "it", "password": "of-no-broker"})


def broker(protocol: MqttProtocol) -> Broker:
    return Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=1, protocol=protocol, tls=True)


def connack(code: int) -> bytes:
    """Return a CONNACK of MQTT 5 with a reason code."""
    return bytes([0x20, 3, 0, code, 0])


def answer(monkeypatch: pytest.MonkeyPatch, packet: bytes, *, ends: bool = False) -> socket.socket:
    """Answer the next connection's CONNECT with `packet`. Return the broker's end."""
    ours, theirs = socket.socketpair()
    theirs.sendall(packet)
    if ends:
        theirs.shutdown(socket.SHUT_WR)
    monkeypatch.setattr(Client, "_create_socket", lambda _self: ours)
    return theirs


@pytest.mark.parametrize(("code", "expected"), [
    pytest.param(0x00, True, id="success"), pytest.param(0x86, False, id="bad user name or password"),
    pytest.param(0x87, False, id="not authorized"), pytest.param(0x8A, False, id="banned"),
])  # fmt: skip
def test_logs_in_returns_the_verdict_of_the_broker(monkeypatch: pytest.MonkeyPatch, code: int, expected: bool) -> None:
    with answer(monkeypatch, connack(code)):
        assert logs_in(broker(MqttProtocol.V5), WHO) is expected


def test_answer_that_arrived_during_a_pause_of_this_process_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    now, loop = [0.0], Client.loop

    def paused(client: Client, seconds: float) -> int:
        now[0] += 3600
        return 0 if now[0] == 3600 else loop(client, seconds)

    monkeypatch.setattr(connection, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(Client, "loop", paused)
    with answer(monkeypatch, connack(0)):
        assert logs_in(broker(MqttProtocol.V5), WHO)


@pytest.mark.parametrize(("packet", "ends"), [
    pytest.param(connack(0x84), False, id="wrong protocol version"),
    pytest.param(connack(0x88), False, id="server unavailable"),
    pytest.param(connack(0x89), False, id="server busy"),
    pytest.param(connack(0x9F), False, id="connection rate exceeded"),
    pytest.param(b"", True, id="hangs up"),
    pytest.param(b"", False, id="never answers"),
])  # fmt: skip
def test_logs_in_raises_without_a_verdict(monkeypatch: pytest.MonkeyPatch, packet: bytes, ends: bool) -> None:
    with answer(monkeypatch, packet, ends=ends), pytest.raises(UnreachableError):
        logs_in(broker(MqttProtocol.V5), WHO, deadline=0.2)


@pytest.mark.parametrize(
    ("code", "expected"), [pytest.param(0, True, id="accepted"), pytest.param(4, False, id="bad credential")]
)
def test_logs_in_returns_a_3_1_1_verdict(monkeypatch: pytest.MonkeyPatch, code: int, expected: bool) -> None:
    with answer(monkeypatch, bytes([0x20, 2, 0, code])):
        assert logs_in(broker(MqttProtocol.V311), WHO) is expected


def test_logs_in_raises_when_nothing_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_self: Client) -> socket.socket:
        raise ConnectionRefusedError(111, "Connection refused")

    monkeypatch.setattr(Client, "_create_socket", refuse)
    with pytest.raises(UnreachableError):
        logs_in(broker(MqttProtocol.V5), WHO)
