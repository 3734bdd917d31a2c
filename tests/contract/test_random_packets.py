"""A broker that sends arbitrary packets: a target reports that it was refused, or that the broker is unreachable.

A socket of this machine takes the broker's place, and sends modified packets or random bytes.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from paho.mqtt.client import Client

from secretops.errors import RefusedError, UnreachableError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.targets.connection import Connection
from secretops.values import Value
from tests.unit.fuzz import BOUNDED

pytestmark = pytest.mark.real

CREDENTIAL = Value({"username": "mcp-a", "password": "not-shown-0123456789"})
ENDS = 5.0  # Seconds of silence after which a target gives up: the answer here comes at once.


@contextlib.contextmanager
def sending(answer: bytes) -> Iterator[int]:
    """Listen once, read the client's first packet, send `answer` and hang up. Yields the port."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                client, _ = listening.accept()
                with client:
                    client.recv(4096)
                    client.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listening.getsockname()[1]
    thread.join()


@pytest.mark.parametrize("protocol", list(MqttProtocol))
def test_no_broker_is_reported_as_unreachable(protocol: MqttProtocol, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Client, "_create_socket", Client._create_socket_connection)  # MQTT without its TLS
    connack = b"\x20\x03\x00\x00\x00" if protocol is MqttProtocol.V5 else b"\x20\x02\x00\x00"
    begun = st.sampled_from([b"", connack, b"\x90\x03\x00\x01\x80", b"HTTP/1.1 400 Bad Request\r\n\r\n"])

    @settings(BOUNDED, max_examples=60)
    @given(begun, st.binary(max_size=40), st.integers(0, 40))
    def holds(begun: bytes, rest: bytes, cut: int) -> None:
        with sending((begun + rest)[: cut + 1]) as port:
            broker = Broker(kind=BrokerKind.MOSQUITTO, host="127.0.0.1", port=port, protocol=protocol, tls=True)
            try:
                with Connection(broker, CREDENTIAL, deadline=ENDS) as connection:
                    connection.subscribe("a")
            except (RefusedError, UnreachableError) as error:
                assert error.remedy and CREDENTIAL["password"] not in str(error)

    holds()
