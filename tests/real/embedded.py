"""The embedded broker as `secretops broker` runs it. A pytest plugin."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from secretops.broker import process, users
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.values import Value
from tests.real.ports import free_port


@dataclass(frozen=True)
class Embedded:
    """An embedded broker with its first admin. Its port is stable."""

    home: Path
    port: int
    admin: Value

    def broker(self) -> Broker:
        return Broker(
            kind=BrokerKind.COREFLUX, host="localhost", port=self.port, protocol=MqttProtocol.V311, tls=False,
            embedded=True, home=str(self.home),
        )  # fmt: skip

    def start(self) -> bool:
        """Start the broker, and wait until it accepts clients. Return False if another process has its port."""
        return process.start(self.home, "localhost", self.port) is process.Listener.STARTED

    def stop(self) -> None:
        process.stop(self.home)


def start_embedded(folder: Path) -> Embedded:
    home = folder / "broker"
    admin = users.create_first_admin(home)
    assert admin is not None
    for _ in range(5):  # another process may take the port meanwhile
        made = Embedded(home, free_port(), admin)
        if made.start():
            return made
    pytest.fail("no free port")


@pytest.fixture(scope="session")
def embedded_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Embedded]:
    broker = start_embedded(tmp_path_factory.mktemp("embedded"))
    try:
        yield broker
    finally:
        broker.stop()
