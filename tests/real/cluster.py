"""A real Kubernetes API. Each test process has one cluster, and a test may have its own. A pytest plugin.

RBAC, the stack's audit policy and encryption at rest are enabled. tests/real/control_plane.py lists what runs, and what
is not proven.
"""

from __future__ import annotations

import contextlib
import json
import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.real.control_plane import ControlPlane, find_programs, kubeconfig

if TYPE_CHECKING:  # this plugin is also loaded where the extra `kubernetes` is not installed
    from lightkube import Client

DEADLINE = 600.0  # Seconds to wait for an event.
CONTEXT = "test"  # The name of the only context in each kubeconfig.


@dataclass(frozen=True)
class Cluster:
    """An API server that a test can access with any identity."""

    folder: Path
    port: int
    admin: Path  # The kubeconfig of user "admin" in group system:masters.
    etcd_port: int

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self.port}"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.crt"

    @property
    def audit_file(self) -> Path:
        return self.folder / "audit.jsonl"

    def kubeconfig_for(self, user: str, groups: Sequence[str] = ()) -> Path:
        return kubeconfig(self.folder, self.port, user, groups=tuple(groups))

    def kubeconfig_of(self, namespace: str, service_account: str) -> Path:
        from lightkube.models.authentication_v1 import TokenRequestSpec
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import ServiceAccountToken

        wanted = ServiceAccountToken(metadata=ObjectMeta(), spec=TokenRequestSpec(audiences=[], expirationSeconds=3600))
        made = self.client().create(wanted, service_account, namespace=namespace)
        assert made.status is not None
        return kubeconfig(self.folder, self.port, service_account, token=made.status.token)

    def client(self, kubeconfig: Path | None = None) -> Client:
        import httpx2
        from lightkube import Client, KubeConfig

        patience = httpx2.Timeout(DEADLINE)  # lightkube's default is 10 s
        return Client(KubeConfig.from_file(kubeconfig or self.admin), field_manager="test", timeout=patience)

    def namespace(self) -> str:
        from lightkube.models.meta_v1 import ObjectMeta
        from lightkube.resources.core_v1 import Namespace

        name = f"test-{secrets.token_hex(4)}"
        self.client().create(Namespace(metadata=ObjectMeta(name=name)))
        return name

    def define(self, definition: dict[str, Any]) -> None:
        """Create custom resource definitions. Returns once the API serves them."""
        from lightkube.codecs import from_dict
        from lightkube.resources.apiextensions_v1 import CustomResourceDefinition

        client, name, end = self.client(), definition["metadata"]["name"], time.monotonic() + DEADLINE
        client.apply(from_dict(definition), force=True)
        # Retried: a watch from the version just written is refused while the server's cache lags behind.
        while not _is_established(client.get(CustomResourceDefinition, name).to_dict()):
            assert time.monotonic() < end, f"{name} is not established"
            time.sleep(0.05)

    def audit(self) -> list[dict[str, Any]]:
        """Return the audit log so far. An event is written after the answer was sent, so use `audited` for the
        latest."""
        if not self.audit_file.exists():
            return []
        lines = self.audit_file.read_text().splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def audited(self, wanted: Callable[[dict[str, Any]], bool], *, count: int = 1) -> list[dict[str, Any]]:
        end = time.monotonic() + DEADLINE
        while len(found := [event for event in self.audit() if wanted(event)]) < count:
            assert time.monotonic() < end, f"{len(found)} of {count} events are in the audit log"
            time.sleep(0.05)
        return found


def _is_established(definition: dict[str, Any]) -> bool:
    conditions = definition.get("status", {}).get("conditions") or []
    return any(each["type"] == "Established" and each["status"] == "True" for each in conditions)


@dataclass(frozen=True)
class OwnCluster(Cluster):
    """A cluster whose API server a test may stop and start again."""

    plane: ControlPlane

    def stop_api(self) -> None:
        """Kill the API server. Its data and its port stay."""
        self.plane.stop_api()

    def start_api(self) -> None:
        self.plane.start_api()


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with running_cluster(tmp_path_factory.mktemp("cluster"), controllers=True) as made:
        yield made


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[OwnCluster]:
    with running_cluster(tmp_path / "cluster", controllers=False) as made:
        yield made


@contextlib.contextmanager
def running_cluster(folder: Path, *, controllers: bool) -> Iterator[OwnCluster]:
    """Yield a cluster. Skips the test if a program for it is missing."""
    plane = ControlPlane(folder, find_programs(), controllers=controllers)
    try:
        plane.start()
        admin = kubeconfig(plane.folder, plane.port, "admin", groups=("system:masters",))
        yield OwnCluster(plane.folder, plane.port, admin, plane.etcd_port, plane)
    finally:
        plane.stop()
