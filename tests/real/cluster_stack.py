"""A stack in a namespace of a real API server, with a real broker, as `pulumi up` would leave it. Pulumi is not used.

Operators have the cluster admin's rights. tests/stacks checks the rights of the rotator's account.
"""

from __future__ import annotations

import base64
import functools
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from secretops.engine.state import Version
from secretops.manifest import Broker, Manifest
from secretops.operations.session import Session
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation
from secretops.values import Value
from tests.real.cluster import DEADLINE, Cluster
from tests.real.stack import Stack, make_catalog

if TYPE_CHECKING:  # where the extra `kubernetes` is not installed, none of its tests is collected either
    from lightkube import Client

SECRETS, CERTS, VERSIONS, LEASE = (
    *("coreflux-mcp-secrets", "coreflux-mcp-certs", "coreflux-mcp-versions", "coreflux-mcp-rotator"),
)


@dataclass
class ClusterStack(Stack):
    """A stack of the Kubernetes store. Its lease lasts only seconds, so that a killed holder delays a test by
    seconds."""

    lease_seconds: int = 4

    @property
    def kubeconfig(self) -> Path:
        return Path(self.environment["KUBECONFIG"])

    @property
    def namespace(self) -> str:
        assert isinstance(self.manifest.store, KubernetesStoreLocation)
        return self.manifest.store.namespace

    def session(self, role: str = "operator") -> Session:
        from secretops.platforms.kubernetes.api import Api
        from secretops.platforms.kubernetes.connection import connect
        from secretops.platforms.kubernetes.lease import Timing
        from secretops.platforms.kubernetes.store import KubernetesVersionStore

        assert isinstance(self.manifest.store, KubernetesStoreLocation)
        connecting = functools.partial(connect, environment=self.environment)
        api = Api(self.namespace, open_connection=connecting)
        quick = Timing(duration=self.lease_seconds, renew=0.2, poll=0.1)
        store = KubernetesVersionStore(self.manifest.store, api, log_entries=role == "rotator", timing=quick)
        return Session(manifest=self.manifest, store=store, journal=store.journal, clock=self.clock)

    def data(self, secret: str) -> dict[str, str]:
        from lightkube.resources.core_v1 import Secret

        found = _client(self.kubeconfig).get(Secret, secret, namespace=self.namespace)
        return {key: base64.b64decode(text).decode() for key, text in (found.data or {}).items()}

    def delivered(self) -> Value:
        data = self.data(SECRETS)
        return Value({"username": data["mqtt-user"], "password": data["mqtt-password"]})

    def check_delivery(self, name: str, current: Version, kept: set[str]) -> None:
        if name == "mqtt":
            assert self.data(SECRETS)["mqtt-version"] == current.id
        assert {key for key in self.data(VERSIONS) if key.startswith(f"{name}.")} == {f"{name}.{one}" for one in kept}


@functools.cache
def _client(kubeconfig: Path) -> Client:
    import httpx2
    from lightkube import Client, KubeConfig

    return Client(KubeConfig.from_file(kubeconfig), timeout=httpx2.Timeout(DEADLINE))


def make_cluster_stack(folder: Path, broker: Broker, cluster: Cluster, *, grace_seconds: int = 30) -> ClusterStack:
    """Return a stack with new users at `broker`, in a new namespace; `folder` is for its manifest."""
    store = KubernetesStoreLocation(namespace=cluster.namespace(), versions=VERSIONS, lease=LEASE, delivered={
        "mqtt": Delivered(name=SECRETS, keys={"username": "mqtt-user", "password": "mqtt-password"}),
        "agent-key": Delivered(name=SECRETS, keys={"api-key": "api-key"}),
        "client-cert": Delivered(name=CERTS, keys={name: name for name in ("ca.crt", "client.crt", "client.key")}),
    })  # fmt: skip
    manifest = Manifest(
        project="coreflux-mcp-secrets", stack="test", store=store, broker=broker, grace_seconds=grace_seconds,
        secrets=make_catalog(),
    )  # fmt: skip
    file = folder / "secretops.json"
    file.write_text(manifest.model_dump_json())
    return ClusterStack(manifest, manifest_file=file, environment={"KUBECONFIG": str(cluster.admin)})
