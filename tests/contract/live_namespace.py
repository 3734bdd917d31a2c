"""A Kubernetes stack on a real API server as `pulumi up` and its first days leave it, written by hand: no Pulumi here.

A stand-in for the controllers and kubelets too: it writes the status of the CronJob and of the Deployment itself.
"""

from __future__ import annotations

import functools
import io
import socket
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
from lightkube import Client, codecs
from lightkube.core.exceptions import ApiError
from lightkube.core.resource import NamespacedResource
from lightkube.models.apps_v1 import DeploymentStatus
from lightkube.models.batch_v1 import CronJobStatus
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import CronJob
from lightkube.types import PatchType

from secretops import cli
from secretops.manifest import (
    Broker,
    BrokerKind,
    Delivered,
    KubernetesStore,
    Manifest,
    MqttProtocol,
    Reader,
    Secret,
    SecretKind,
)
from secretops.operations.put import put
from secretops.operations.session import Session
from secretops.values import Value
from tests.real.cluster import CONTEXT

SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"
SECRETS, CERTS, VERSIONS = "coreflux-mcp-secrets", "coreflux-mcp-certs", "coreflux-mcp-versions"
CANARY = "canary-of-the-live-namespace"
"""The value of agent-key: looked for in everything that is printed."""

_OBJECTS = f"""
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {SERVER}}}
---
apiVersion: v1
kind: ServiceAccount
metadata: {{name: {ROTATOR}}}
---
apiVersion: coordination.k8s.io/v1
kind: Lease
metadata: {{name: {ROTATOR}}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {SERVER}}}
rules:
- {{apiGroups: [""], resources: [secrets], resourceNames: [{SECRETS}, {CERTS}], verbs: [get]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {{name: {ROTATOR}}}
rules:
- {{apiGroups: [""], resources: [secrets], resourceNames: [{SECRETS}, {CERTS}, {VERSIONS}], verbs: [get, update]}}
- {{apiGroups: [coordination.k8s.io], resources: [leases], resourceNames: [{ROTATOR}], verbs: [get, update]}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {SERVER}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {SERVER}}}
subjects: [{{kind: ServiceAccount, name: {SERVER}}}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {{name: {ROTATOR}}}
roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: Role, name: {ROTATOR}}}
subjects: [{{kind: ServiceAccount, name: {ROTATOR}}}]
---
apiVersion: batch/v1
kind: CronJob
metadata: {{name: {ROTATOR}}}
spec:
  schedule: "0 * * * *"
  jobTemplate:
    spec: {{template: {{spec: {{restartPolicy: Never, containers: [{{name: rotator, image: none.invalid/none}}]}}}}}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {SERVER}}}
spec:
  replicas: 1
  selector: {{matchLabels: {{app.kubernetes.io/name: {SERVER}}}}}
  template:
    metadata: {{labels: {{app.kubernetes.io/name: {SERVER}}}}}
    spec: {{containers: [{{name: server, image: none.invalid/none}}]}}
"""


@dataclass
class LiveNamespace:
    """A stack whose every part is as it should be, until a test spoils one."""

    client: Client
    namespace: str
    manifest: Manifest
    manifest_file: Path

    def ran(self, ago: timedelta) -> None:
        """The rotator's last success was so long ago."""
        status = CronJobStatus(lastSuccessfulTime=datetime.now(UTC) - ago)
        self._tell(CronJob.Status, ROTATOR, {"status": status.to_dict()})

    def ready(self, replicas: int) -> None:
        """So many of the server's pods are ready."""
        status = DeploymentStatus(replicas=1, readyReplicas=replicas)
        self._tell(Deployment.Status, SERVER, {"status": status.to_dict()})

    def apply(self, text: str) -> None:
        """Create what the YAML says."""
        for thing in codecs.load_all_yaml(text):
            assert isinstance(thing, NamespacedResource)
            self.client.create(thing, namespace=self.namespace)

    def merge(self, kind: Any, name: str, changes: dict[str, Any]) -> None:
        """Change one object."""
        self.client.patch(kind, name, changes, namespace=self.namespace, patch_type=PatchType.MERGE)

    def _tell(self, kind: Any, name: str, changes: dict[str, Any]) -> None:
        self.merge(kind, name, changes)


def store_of(namespace: str, context: str | None = CONTEXT, operators: tuple[str, ...] = ("admin",)) -> KubernetesStore:
    """The store as the program describes it."""
    server, rotator = (f"system:serviceaccount:{namespace}:{name}" for name in (SERVER, ROTATOR))
    return KubernetesStore(
        namespace=namespace,
        context=context,
        versions=VERSIONS,
        lease=ROTATOR,
        delivered={
            "mqtt": Delivered(name=SECRETS, keys={"username": "mqtt-user", "password": "mqtt-password"}),
            "agent-key": Delivered(name=SECRETS, keys={"api-key": "api-key"}),
            "client-cert": Delivered(name=CERTS, keys={name: name for name in ("ca.crt", "client.crt", "client.key")}),
        },
        readers={
            SECRETS: (server, rotator, "system:nodes", *operators),
            CERTS: (server, rotator, "system:nodes", *operators),
            VERSIONS: (rotator, *operators),
        },
    )


@functools.cache
def _broker() -> socket.socket:
    """In a broker's place, for as long as this process runs."""
    return socket.create_server(("localhost", 0))


def manifest_of(store: KubernetesStore) -> Manifest:
    """A stack with that store. Its broker takes connections and says nothing: none of these tests asks it."""
    both = (Reader.SERVER, Reader.ROTATOR)
    return Manifest(
        project="coreflux-mcp-secrets",
        stack="test",
        store=store,
        broker=Broker(
            kind=BrokerKind.COREFLUX,
            host="localhost",
            port=_broker().getsockname()[1],
            protocol=MqttProtocol.V5,
            tls=True,
        ),
        grace_seconds=30,
        secrets=(
            Secret(name="agent-key", kind=SecretKind.AGENT_KEY, fields=("api-key",), readers=both, cadence_days=180),
        ),
    )


def live_namespace(client: Client, namespace: str, kubeconfig: Path, folder: Path) -> LiveNamespace:
    """The stack in a namespace that is there, as its administrator made it."""
    manifest = manifest_of(store_of(namespace))
    file = folder / f"{namespace}.json"
    file.write_text(manifest.model_dump_json())
    made = LiveNamespace(client, namespace, manifest, file)
    made.apply(_OBJECTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("KUBECONFIG", str(kubeconfig))
        put(Session.open(manifest, role="operator"), "agent-key", Value({"api-key": CANARY}))
    made.ran(timedelta(minutes=30))
    made.ready(1)
    return made


def make_namespace(client: Client, name: str) -> str:
    """A namespace as the stack's program labels it."""
    from lightkube.resources.core_v1 import Namespace

    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    try:
        client.create(Namespace(metadata=ObjectMeta(name=name, labels=labels)))
    except ApiError as error:
        assert error.status.code == 409, error
    return name


def run(
    manifest_file: Path, *arguments: str, kubeconfig: Path | str = "", given: bytes = b""
) -> subprocess.CompletedProcess[str]:
    """The command line in this process, as whoever `kubeconfig` says."""
    out, err = (io.TextIOWrapper(io.BytesIO(), encoding="utf-8", write_through=True) for _ in range(2))
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as end:
        patch.setattr(sys, "argv", ["secretops", *arguments, "--manifest", str(manifest_file)])
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BufferedReader(io.BytesIO(given)), encoding="utf-8"))
        patch.setattr(sys, "stdout", out)
        patch.setattr(sys, "stderr", err)
        patch.setenv("KUBECONFIG", str(kubeconfig))
        cli.main()
    texts = [stream.buffer.getvalue().decode() for stream in (out, err)]
    return subprocess.CompletedProcess(arguments, cast(int, end.value.code), *texts)
