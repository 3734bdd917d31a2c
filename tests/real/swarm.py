"""A real Swarm with one manager, in a network namespace. A pytest plugin.

It has no virtual addresses and no ingress network, because the kernel may lack IP_VS. Tests reach services by the
addresses of their tasks (`dnsrr`), or at a port that a task publishes on the node.
"""

import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.real.dockerd import DEADLINE, Daemon, Dockerd, import_base
from tests.real.network_namespace import NetworkNamespace

BROKER_HOST = "broker.test"  # The name of this machine in tasks: the one name of their DNS server.
# Of the bridge that leads out of every overlay network; the namespace's address on it.
SUBNET, MACHINE = "10.99.0.0/24", "10.99.0.1"

LEADS = ("node", "inspect", "self", "--format", "{{.ManagerStatus.Leader}}")
OPTIONS = ("--bridge", "none", "--ip6tables=false", "--dns", MACHINE)


class Swarm:
    """A manager that a test can stop, kill and start again, and the relays to it."""

    def __init__(self, folder: Path) -> None:
        self._daemon = Daemon(folder, OPTIONS, own_network=True)
        self.docker: Dockerd = self._daemon.docker
        self.socket = folder / "docker.sock"
        self.host = f"unix://{self.socket}"
        self._ways: NetworkNamespace | None = None
        self._reached: dict[int, int] = {}
        self._led: set[int] = set()

    def begin(self) -> None:
        """Start the daemon, and create a Swarm. Skips the test if no daemon can run here."""
        self._daemon.start()
        self._ways = NetworkNamespace(self._daemon.namespaces)  # not before: the process makes it
        self._network.bring_up_loopback()
        self._network.answer(BROKER_HOST, MACHINE)
        # Docker would make the same bridge, with the first free subnet.
        bridge = ("name=docker_gwbridge", "enable_icc=false", "enable_ip_masquerade=true")
        options = [word for option in bridge for word in ("--opt", f"com.docker.network.bridge.{option}")]
        self.docker.check_output(
            "network", "create", "--subnet", SUBNET, "--gateway", MACHINE, *options, "docker_gwbridge"
        )
        self.docker.check_output("swarm", "init", "--advertise-addr", "127.0.0.1", "--listen-addr", "127.0.0.1")

    def end(self) -> None:
        self.docker.start("swarm", "leave", "--force")  # its tasks end, and nothing restarts them
        if self._ways:
            self._ways.close()
        self._daemon.end()

    @property
    def _network(self) -> NetworkNamespace:
        assert self._ways, "it has not begun"
        return self._ways

    def start(self) -> None:
        self._daemon.start()
        self.wait("the manager leads", lambda: self.docker.check_output(*LEADS) == "true")

    def stop(self) -> None:
        self._daemon.stop()

    def kill(self) -> None:
        self._daemon.stop(signal.SIGKILL)

    def lead_to(self, port: int) -> int:
        """Make `port` of this machine's loopback reachable for tasks at BROKER_HOST. Return the port."""
        if port not in self._led:
            self._led.add(port)
            self._network.lead_out(port)
        return port

    def reach(self, published: int) -> int:
        if published not in self._reached:
            self._reached[published] = self._network.lead_in(published)
        return self._reached[published]

    def debian(self) -> str:
        """Return an image with Debian's python3. Skips the test if it cannot be made."""
        return import_base(self.docker)

    def load(self, archive: Path) -> str:
        return self.docker.check_output("load", "--quiet", "--input", archive).rpartition("Loaded image: ")[2].strip()

    def wait(self, what: str, check: Callable[[], object]) -> None:
        """Wait until `check` is true; errors of the daemon count as false. Fails the test after DEADLINE."""
        end, pause, last = time.monotonic() + DEADLINE, threading.Event(), ""
        while time.monotonic() < end:
            try:
                if check():
                    return
            except AssertionError as error:
                last = f": {error}"
            pause.wait(0.1)
        pytest.fail(f"not within {DEADLINE} s: {what}{last}")


@contextmanager
def running_swarm() -> Iterator[Swarm]:
    """Yield a Swarm. Skips the test if none can run."""
    with tempfile.TemporaryDirectory(prefix="swarm-") as short:
        made = Swarm(Path(short))
        try:
            made.begin()
            yield made
        finally:
            made.end()


@pytest.fixture(scope="session")
def swarm() -> Iterator[Swarm]:
    with running_swarm() as made:
        yield made
