"""Stand-in for scheduler and kubelet: runs the pods that the real controllers create, as local processes.

It is a node of the cluster with a node's rights (the API server's Node authorizer). It takes volumes, environment,
arguments and rights from the real Pod (pod_volumes.py), and runs it in its own root file system (pod_process.py). It
checks readiness, terminates with the grace period, and reports status, so that a Deployment becomes available and a Job
ends.

It does not prove that the image starts, that a NetworkPolicy is enforced, and how long a real kubelet takes to update a
volume (up to 90 s). It restarts nothing, and runs no preStop hook, liveness or startup probe. A container that listens
on 0.0.0.0 gets a free port of 127.0.0.1 instead; the cluster sees a pod address without a listener (an EndpointSlice
takes no loopback address).

With an `injector` an annotated pod also gets its own `bao agent` (tests/real/agent_injector.py).
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import msgspec
from lightkube import ApiError
from lightkube.core.decoders import decode_list
from lightkube.models.core_v1 import NodeSpec, ObjectReference
from lightkube.models.meta_v1 import ObjectMeta, Status
from lightkube.resources.core_v1 import ConfigMap, Node, Pod, PodBinding, PodStatus, Secret, ServiceAccountToken

from tests.real import pod_process
from tests.real.agent_injector import AgentInjector
from tests.real.cluster import DEADLINE, Cluster
from tests.real.pod_volumes import NotThereError, Volumes, as_container, container_of, metadata
from tests.real.ports import free_port

EVERY_SECONDS = 0.25
MISSING = ":missing"  # Suffix of an image name that no registry has.
# Types that a node receives. msgspec 0.22 on CPython 3.11 crashes (SIGSEGV) if two threads learn a type at once: they
# are decoded once before the threads start.
DECODED = (Pod, Node, PodBinding, PodStatus, ConfigMap, Secret, ServiceAccountToken, Status)


@dataclass
class RunningPod:
    """A pod of this node, and its process once it has started."""

    pod: Pod
    folder: Path
    volumes: Volumes
    port: int
    waiting: str = "its volumes"
    process: subprocess.Popen[bytes] | None = None
    agent: subprocess.Popen[bytes] | None = None  # Its sidecars.
    started: str = ""
    ready: bool = False
    ending: float | None = None
    reported: dict[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return metadata(self.pod).name or ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        path = self.folder / "log"
        return path.read_text() if path.exists() else f"did not start; it waits for {self.waiting}"

    @property
    def code(self) -> int | None:
        return self.process.poll() if self.process else None

    def kill(self) -> None:
        for process in (self.process, self.agent):
            if process and process.poll() is None:
                process.kill()
                process.wait()


class Kubelet:
    """The one node of a namespace. It runs the namespace's pods while the `with` block runs."""

    def __init__(
        self, cluster: Cluster, namespace: str, folder: Path, *, server: Path, injector: AgentInjector | None = None
    ) -> None:
        """`server` is the folder with the MCP server that the image would bring."""
        pod_process.check_possible()
        for kind in DECODED:
            msgspec.json.Decoder(kind)
        decode_list(b'{"items": []}', Pod)
        self.node = f"node-{secrets.token_hex(4)}"
        self._cluster, self._namespace, self._folder, self._server = cluster, namespace, folder, server
        self._injector = injector
        self._client = cluster.client(cluster.kubeconfig_for(f"system:node:{self.node}", ("system:nodes",)))
        self._scheduler = cluster.client(cluster.kubeconfig_for("system:kube-scheduler"))
        self._pods: dict[str, RunningPod] = {}
        self._ended: list[RunningPod] = []
        self._changed = threading.Condition()
        self._stopping = threading.Event()
        self._error: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=self.node, daemon=True)

    def __enter__(self) -> Kubelet:
        self._client.create(Node(metadata=ObjectMeta(name=self.node), spec=NodeSpec()))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(DEADLINE)
        for running in self._pods.values():
            running.kill()
        self._cluster.client().delete(Node, self.node)

    def pods(self, name: str = "") -> list[RunningPod]:
        """Return the pods whose name begins with `name`, oldest first, including those that ended."""
        with self._changed:
            return [pod for pod in (*self._ended, *self._pods.values()) if pod.name.startswith(name)]

    def until(self, what: str, wanted: Callable[[], bool], *, seconds: float = DEADLINE) -> None:
        """Wait until `wanted()` is true. It is checked after each event."""
        with self._changed:
            done = self._changed.wait_for(lambda: self._error is not None or wanted(), seconds)
        if self._error:
            raise self._error
        assert done, f"not within {seconds} s: {what}\n" + "\n".join(pod.log[-1500:] for pod in self.pods())

    def _run(self) -> None:
        try:
            while not self._stopping.wait(EVERY_SECONDS):
                self._look()
                with self._changed:
                    self._changed.notify_all()
        except Exception as error:
            with self._changed:
                self._error = error
                self._changed.notify_all()

    def _look(self) -> None:
        for pod in self._scheduler.list(Pod, namespace=self._namespace, fields={"spec.nodeName": ""}):
            name = str(metadata(pod).name)
            target = ObjectReference(apiVersion="v1", kind="Node", name=self.node)
            binding = PodBinding(metadata=ObjectMeta(name=name), target=target)
            # The answer is a Status; lightkube expects a Binding.
            with _unless_gone(), contextlib.suppress(msgspec.ValidationError):
                self._scheduler.create(binding, name, namespace=self._namespace)
        there = {
            str(metadata(pod).uid): pod
            for pod in self._client.list(Pod, namespace=self._namespace, fields={"spec.nodeName": self.node})
        }
        for uid, pod in there.items():
            if uid not in self._pods:
                folder = self._folder / uid
                volumes = Volumes(pod, folder / "volumes", self._client)
                with self._changed:
                    self._pods[uid] = RunningPod(pod, folder, volumes, free_port())
            running = self._pods[uid]
            running.pod = running.volumes.pod = pod
            if metadata(pod).deletionTimestamp:
                self._end(running)
                continue
            if running.code is None:
                self._keep(running)
            self._report(running)
        for uid in self._pods.keys() - there.keys():
            self._pods[uid].kill()
            with self._changed:
                self._ended.append(self._pods.pop(uid))

    def _keep(self, running: RunningPod) -> None:
        try:
            if (container_of(running.pod).image or "").endswith(MISSING):
                running.waiting = "its image, which can't be pulled"
                return
            running.volumes.write()
            if running.process is None:
                self._start(running)
        except (NotThereError, ApiError) as error:
            running.waiting = str(error)
            return
        probe = container_of(running.pod).readinessProbe
        if probe is None:
            running.ready = running.code is None
        else:
            assert probe.httpGet, "a kind of probe that this stand-in does not know"
            running.ready = running.code is None and _answers(running.port, probe.httpGet.path or "/")

    def _start(self, running: RunningPod) -> None:
        own = {
            "COREFLUX_SERVER_DIR": str(self._server),
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(self._cluster.port),
        }
        log = running.folder / "log"
        container = as_container(running.volumes, self._client, own=own, port=running.port, log=log)
        if self._injector and self._injector.wants(running.pod):
            injected = self._injector.inject(running.volumes, running.folder)
            running.agent = pod_process.run(injected.agent, running.folder / "root-agent")
            container = dataclasses.replace(container, mounts=[*container.mounts, injected.files])
        running.process = pod_process.run(container, running.folder / "root")
        running.started = _now()

    def _end(self, running: RunningPod) -> None:
        """Send SIGTERM, send SIGKILL after the grace period, then delete the pod."""
        about = metadata(running.pod)
        process = running.process
        if process and process.poll() is None:
            now = datetime.now(UTC).timestamp()
            if running.ending is None:
                running.ending = now + (about.deletionGracePeriodSeconds or 0)
                process.send_signal(signal.SIGTERM)
            elif now > running.ending:
                process.kill()
            return
        running.kill()
        with _unless_gone():
            self._client.delete(Pod, running.name, namespace=self._namespace, grace_period=0)

    def _report(self, running: RunningPod) -> None:
        """Report the pod's status to the API server, if the status has changed."""
        code = running.code
        ready = "True" if running.ready and code is None else "False"
        state: dict[str, dict[str, object]]
        if running.process is None:
            phase, state = "Pending", {"waiting": {"reason": "ContainerCreating"}}
        elif code is None:
            phase, state = "Running", {"running": {"startedAt": running.started}}
        else:
            phase = "Failed" if code else "Succeeded"
            state = {"terminated": {"exitCode": code if code >= 0 else 128 - code, "startedAt": running.started}}
        if running.pod.spec and running.pod.spec.restartPolicy == "Always" and code is not None:
            phase = "Running"  # a real kubelet would restart it
        seen = {"phase": phase, "ready": ready, "state": state}
        if seen == running.reported:
            return
        address = f"10.244.0.{running.port % 250 + 1}"
        container = container_of(running.pod)
        where = {"podIP": address, "podIPs": [{"ip": address}], "hostIP": "10.0.1.1"}
        status: dict[str, Any] = {
            **{"phase": phase, "startTime": running.started or _now(), **where},
            "conditions": [{"type": kind, "status": value, "lastTransitionTime": _now()}
                           for kind, value in (("Initialized", "True"), ("ContainersReady", ready), ("Ready", ready))],
            "containerStatuses": [{"name": container.name, "image": container.image, "imageID": "",
                                   "ready": ready == "True", "started": running.process is not None and code is None,
                                   "restartCount": 0, "state": state}],
        }  # fmt: skip
        with _unless_gone():
            self._client.patch(PodStatus, running.name, {"status": status}, namespace=self._namespace)
            running.reported = seen


def _answers(port: int, path: str) -> bool:
    """Return whether the answer is 2xx or 3xx, which kubelet counts as success."""
    connection = HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request("GET", path)
        return 200 <= connection.getresponse().status < 400
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()


@contextlib.contextmanager
def _unless_gone() -> Iterator[None]:
    try:
        yield
    except ApiError as error:
        if error.status.code not in (404, 409):
            raise


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
