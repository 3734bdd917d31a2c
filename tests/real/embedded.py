"""The embedded broker, run as `secretops broker` runs it. A pytest plugin."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secretops import broker as embedded
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.values import Value
from tests.real.mosquitto import free_port


@dataclass(frozen=True)
class Embedded:
    """A running embedded broker with its first admin."""

    home: Path
    port: int
    admin: Value

    def broker(self) -> Broker:
        """How a stack would describe it."""
        return Broker(
            kind=BrokerKind.COREFLUX,
            host="localhost",
            port=self.port,
            protocol=MqttProtocol.V311,
            tls=False,
            embedded=True,
            home=str(self.home),
        )


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    """One embedded broker for all tests of this process: each uses users of its own."""
    home = tmp_path_factory.mktemp("embedded") / "broker"
    admin = embedded.first_admin(home)
    assert admin is not None
    for _ in range(5):  # somebody else may take the port in between
        port = free_port()
        if embedded.start(home, "localhost", port) is embedded.Listener.STARTED:
            break
    else:
        pytest.fail("no free port")
    try:
        yield Embedded(home, port, admin)
    finally:
        embedded.stop(home)
