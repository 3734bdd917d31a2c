"""What tests of the launcher share: a broker, the MCP server that the launcher runs, and the launcher's command. A
pytest plugin.

Each fixture has one parameter, so that a test runs once. ON_BOTH_BROKERS is for tests that may depend on the broker.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from secretops.manifest import SecretKind
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.real.embedded import Embedded, start_embedded
from tests.real.mosquitto import Mosquitto, installed_mosquitto, record_replacement, start_mosquitto
from tests.real.upstream import SMALL_SERVER, real_server
from tests.real.witness import Witness

DEADLINE = 600  # Seconds to wait for an event.
WITNESS = Value({"username": "witness", "password": new_password()})
RealBroker = Embedded | Mosquitto
# mosquitto starts in a fraction of the embedded broker's time.
ONE_BROKER = "mosquitto" if installed_mosquitto() else "embedded"
ONE_SERVER = "upstream" if real_server() else "small, for want of upstream"
ON_BOTH_BROKERS = pytest.mark.parametrize("broker", ["embedded", "mosquitto"], indirect=True)
ON_UPSTREAMS_SERVER = pytest.mark.parametrize("server_folder", ["upstream"], indirect=True)


def until(what: str, check: Callable[[], object]) -> None:
    """Return once `check` is true. Fails the test after DEADLINE."""
    end, pause = time.monotonic() + DEADLINE, threading.Event()
    while not check():
        assert time.monotonic() < end, f"not within {DEADLINE} s: {what}"
        pause.wait(0.05)


@pytest.fixture(params=[ONE_SERVER])
def server_folder(request: pytest.FixtureRequest) -> Path:
    folder = real_server() if request.param == "upstream" else SMALL_SERVER
    if folder is None:
        pytest.skip("the upstream server is neither at COREFLUX_SERVER_DIR nor in ../shared/upstream")
    return folder


@pytest.fixture(params=[ONE_BROKER])
def broker(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RealBroker]:
    """Yield a broker whose port has no TLS: upstream's mqtt_connect trusts only the system's CAs."""
    if installed_mosquitto() is None:
        record_replacement(request)
    made = start_embedded(tmp_path) if request.param == "embedded" else start_mosquitto(tmp_path, plain=True)
    try:
        let_in(made, WITNESS)
        yield made
    finally:
        made.stop()


@pytest.fixture
def witness(broker: RealBroker) -> Iterator[Witness]:
    with Witness(broker.broker(), WITNESS) as made:
        yield made


def let_in(broker: RealBroker, credential: Value) -> None:
    """Set a user's password out of band, so that `credential` works."""
    open_target(broker.broker(), SecretKind.MQTT_USER).apply(broker.admin, credential)


def command(source: str) -> list[str]:
    return [sys.executable, "-m", "secretops", "run", "--from", source]


def environment(server: Path) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return kept | {"COREFLUX_SERVER_DIR": str(server)}
