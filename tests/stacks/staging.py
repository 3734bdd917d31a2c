"""A Kubernetes stack on a real cluster, with a real broker with TLS, its operator and its schedule."""

import asyncio
import base64
import itertools
import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from lightkube import ApiError, Client
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.batch_v1 import CronJob, Job
from lightkube.resources.core_v1 import Secret

from secretops.errors import ExitCode
from tests.real.cluster import CONTEXT, DEADLINE, Cluster
from tests.real.kubelet import Kubelet, RunningPod
from tests.real.mcp_client import call_tool, http_session
from tests.real.mosquitto import MACHINE, Mosquitto
from tests.stacks.project import BIN, ManifestStack, link_plugin
from tools import kubernetes_parts

NAME = "staging"
NAMESPACE = "coreflux-mcp"
IMAGE = "registry.example.com/coreflux-mcp-secrets:0.1.0"
HELD = "holds the lease"  # The message of a rotator that finds the lease taken.
SERVER, ROTATOR = "coreflux-mcp-server", "coreflux-mcp-rotator"
SECRETS = ("coreflux-mcp-secrets", "coreflux-mcp-certs", "coreflux-mcp-versions")


@dataclass
class StagingStack(ManifestStack):
    """A stack on this machine's broker and cluster, with actions of its deployer."""

    kubeconfig: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "KUBECONFIG": str(self.kubeconfig)}

    def secretops(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        command = [str(BIN / "secretops"), *arguments]
        if "--stack" not in arguments:
            command += ["--manifest", str(self.manifest)]
        end = time.monotonic() + DEADLINE
        while True:
            done = self.call(command, stdin)
            if done.returncode != ExitCode.BUSY or time.monotonic() > end:
                return done


def link_provider(home: Path) -> None:
    """Put Pulumi's provider where the engine finds it. Skips the test if it is not built."""
    link_plugin(home, kubernetes_parts.built().get(kubernetes_parts.PLUGIN), f"kubernetes-v{kubernetes_parts.PROVIDER}")


def new_staging(home: Path, kubeconfig: Path, broker: Mosquitto, *, context: str = CONTEXT) -> StagingStack:
    """Return the stack in `home`, not deployed yet. Skips the test if Pulumi's provider is not built."""
    link_provider(home)
    config = stack_config(broker, context)
    stack = StagingStack(NAME, home, config, kubeconfig)
    stack.create()
    return stack


def stack_config(broker: Mosquitto, context: str) -> dict[str, dict[str, Any]]:
    reached = {"kind": "mosquitto", "host": MACHINE, "port": broker.port, "ca_file": str(broker.ca_file)}
    return {
        "store": {"kind": "kubernetes", "operators": ["admin"]},
        "server": {"kind": "kubernetes", "image": IMAGE, "context": context},
        "broker": reached,
    }


@dataclass
class Staging:
    """A deployed stack, and all output of its commands."""

    stack: StagingStack
    cluster: Cluster
    kubelet: Kubelet
    client: Client
    output: list[str] = field(default_factory=list)
    values: set[str] = field(default_factory=set, repr=False)  # Every value seen so far.

    def operator(self, *arguments: str, stdin: str | None = None) -> str:
        done = self.stack.secretops(*arguments, stdin=stdin)
        self.output.append(done.stdout)
        assert done.returncode == ExitCode.DONE, done.stdout
        self.learn()
        return done.stdout

    def job(self, name: str, arguments: list[str] | None = None) -> RunningPod:
        pod = run_job(self.client, self.kubelet, NAMESPACE, name, arguments, output=self.output)
        self.learn()
        return pod

    def servers(self) -> list[RunningPod]:
        return self.kubelet.pods(f"{SERVER}-")

    def is_available(self) -> bool:
        return is_available(self.client, NAMESPACE)

    def secret(self, name: str) -> dict[str, str]:
        try:
            found = self.client.get(Secret, name, namespace=NAMESPACE)
        except ApiError as error:
            if error.status.code == 404:
                return {}
            raise
        return {key: base64.b64decode(text).decode() for key, text in (found.data or {}).items()}

    def learn(self) -> None:
        """Record all current values."""
        for name in SECRETS:
            for key, text in self.secret(name).items():
                fields: dict[str, Any] = json.loads(text) if text.startswith("{") else {"": text}
                for part, value in fields.items():
                    if part != "username" and not key.endswith(("-version", "mqtt-user")):
                        self.values.add(value)


def run_job(
    client: Client, kubelet: Kubelet, namespace: str, name: str, arguments: list[str] | None, *, output: list[str]
) -> RunningPod:
    """Create a Job from the CronJob (as `kubectl create job --from`), by default with its arguments. Wait for the end.

    Retries while the lease is taken, because the CronJob itself starts a Job at the full hour.
    """
    cron = client.get(CronJob, ROTATOR, namespace=namespace)
    assert cron.spec and cron.spec.jobTemplate.spec and cron.spec.jobTemplate.metadata
    spec = cron.spec.jobTemplate.spec
    assert spec.template.spec
    if arguments:
        spec.template.spec.containers[0].args = arguments

    def ended(job: str) -> bool:
        status = client.get(Job, job, namespace=namespace).status
        return any(one.type in ("Complete", "Failed") for one in (status and status.conditions) or ())

    end = time.monotonic() + DEADLINE
    for turn in itertools.count():
        job = f"{name}-{turn}"
        about = ObjectMeta(name=job, labels=cron.spec.jobTemplate.metadata.labels)
        client.create(Job(metadata=about, spec=spec), namespace=namespace)
        kubelet.until(f"job {job} ends", partial(ended, job))
        (pod,) = kubelet.pods(f"{job}-")
        output.append(pod.log)
        busy = pod.code == ExitCode.BUSY or HELD in pod.log  # a scheduled tick ends with 0 then
        if not busy or time.monotonic() > end:
            return pod
    raise AssertionError("unreachable: the retry loop has no end")


def is_available(client: Client, namespace: str) -> bool:
    found = client.get(Deployment, SERVER, namespace=namespace)
    assert found.spec and found.spec.replicas
    return bool(found.status and found.status.availableReplicas == found.spec.replicas)


def all_log(kubelet: Kubelet, text: str, times: int = 1) -> bool:
    """Return whether both pods of the Deployment have logged `text` at least `times` times."""
    pods = kubelet.pods(f"{SERVER}-")
    return len(pods) == 2 and all(pod.log.count(text) >= times for pod in pods)


async def rotate_under_clients(kubelet: Kubelet, token: str, rotate: Callable[[int], str]) -> None:
    """Call `rotate`, which returns the version, three times, while an MCP client of each pod keeps publishing."""
    one, other = (pod.url for pod in kubelet.pods(f"{SERVER}-"))
    async with http_session(one, token) as first, http_session(other, token) as second:
        for turn in range(4):
            if turn:
                swapped = f"Using version {await asyncio.to_thread(rotate, turn)} of mqtt"
                await asyncio.to_thread(kubelet.until, swapped, partial(all_log, kubelet, swapped))
                # Its report is gone then: the next rotation need not wait for the grace period.
                left = partial(all_log, kubelet, "The former MQTT client has disconnected", turn)
                await asyncio.to_thread(kubelet.until, "the former clients' end", left)
            for session in (first, second):
                output = await call_tool(session, "mqtt_publish", topic="plant/a", message="{}", qos=1)
                assert "publish" in output.lower() and "error" not in output.lower(), output
