"""The shipped stack of a Docker Swarm on a real Swarm with a real broker, and actions of deployer and operators."""

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from secretops.errors import ExitCode
from secretops.manifest import Manifest
from secretops.platforms.swarm.location import SwarmStoreLocation, version_file
from secretops.values import PUBLIC_FIELDS, Value
from tests.real.mosquitto import Mosquitto
from tests.real.stack import log_in
from tests.real.swarm import BROKER_HOST, Swarm
from tests.stacks.project import BIN, ManifestStack, link_plugin
from tools import docker_provider

NAME = "prod-swarm"
DEADLINE = 600  # Seconds to wait for an event: a service's update replaces one task after the other.
# States of a task that has ended.
ENDED = ("complete", "failed", "rejected", "shutdown", "orphaned", "remove")

REPLICAS = 2  # Of the server, as the shipped file has it.


@dataclass
class SwarmProject(ManifestStack):
    """A stack on this machine's broker, image and Swarm."""

    host: str

    @property
    def environment(self) -> dict[str, str]:
        return {**super().environment, "DOCKER_HOST": self.host, "DOCKER_CONFIG": str(self.home / "docker")}

    def command(self, *arguments: str) -> list[str]:
        return [str(BIN / "secretops"), *arguments, "--manifest", str(self.manifest)]

    def secretops(self, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.call(self.command(*arguments), stdin)


def new_swarm_stack(home: Path, swarm: Swarm, broker: Mosquitto, image: str) -> SwarmProject:
    """Return the stack in `home`, not deployed yet. Skips the test if Pulumi's provider is not built."""
    link_plugin(home, docker_provider.built(), f"docker-v{docker_provider.PROVIDER}")
    port = swarm.lead_to(broker.port)
    config: dict[str, dict[str, Any]] = {
        "store": {"kind": "swarm", "socket": str(swarm.socket)},
        # the ingress network takes a kernel with IP_VS
        "server": {"kind": "swarm", "image": image, "publish": "host"},
        "broker": {"kind": "mosquitto", "host": BROKER_HOST, "port": port, "ca_file": str(broker.ca_file)},
    }
    stack = SwarmProject(NAME, home, config, swarm.host)
    stack.create()
    return stack


@dataclass
class Deployed:
    """A deployed stack, all output of its commands, and every value that a test has seen."""

    stack: SwarmProject
    swarm: Swarm
    broker: Mosquitto
    output: list[str] = field(default_factory=list)
    values: set[str] = field(default_factory=set, repr=False)
    # argv and environment of all processes during a put.
    processes: list[bytes] = field(default_factory=list, repr=False)
    _urls: dict[int, str] = field(default_factory=dict)

    @property
    def reported(self) -> Manifest:
        return Manifest.model_validate_json(self.stack.manifest.read_text())

    @property
    def store(self) -> SwarmStoreLocation:
        store = self.reported.store
        assert isinstance(store, SwarmStoreLocation)
        return store

    def operator(self, *arguments: str, stdin: str | None = None, code: ExitCode = ExitCode.DONE) -> str:
        done = self.stack.secretops(*arguments, stdin=stdin)
        self.output.append(done.stdout)
        assert done.returncode == code, f"{arguments}: {done.stdout[-4000:]}"
        assert "Traceback" not in done.stdout
        self.learn()
        return done.stdout

    def preview_is_empty(self) -> None:
        done = self.stack.run("preview", "--refresh", "--diff", "--expect-no-changes")
        self.output.append(done.stdout)
        assert done.returncode == 0, done.stdout[-6000:]

    def inspect(self, kind: str, *ids: str) -> list[dict[str, Any]]:
        ask = ("inspect", "--type", kind) if kind == "task" else (kind, "inspect")
        found: list[dict[str, Any]] = json.loads(self.swarm.docker.check_output(*ask, *ids)) if ids else []
        return found

    def service(self) -> dict[str, Any]:
        (found,) = self.inspect("service", self.store.service)
        return found

    def tasks(self) -> list[dict[str, Any]]:
        return [
            task
            for task in self._tasks(self.store.service)
            if task["DesiredState"] == "running" and task["Status"]["State"] == "running"
        ]

    def replicas(self) -> list[str]:
        reported = [each for task in self.tasks() for each in task["Status"]["PortStatus"].get("Ports", ())]
        ports = list(dict.fromkeys(each["PublishedPort"] for each in reported))  # by IPv4 and IPv6 it is the same
        for port in ports:
            if port not in self._urls:
                self._urls[port] = f"http://127.0.0.1:{self.swarm.reach(port)}"
        return [self._urls[port] for port in ports]

    def ready(self) -> int:
        return sum(_is_ready(url) for url in self.replicas())

    def version(self, secret: str = "mqtt") -> int:
        (number,) = {int(found[1]) for name in self.attached() if (found := re.search(rf"_{secret}-v(\d+)-", name))}
        return number

    def version_id(self) -> str:
        return self.read(self.tasks()[0], version_file("mqtt"))

    def log_in(self) -> str:
        return log_in(self.broker.broker(), Value(self.stdin()))

    def attached(self) -> list[str]:
        return attached(self.service()["Spec"]["TaskTemplate"])

    def secrets(self) -> list[str]:
        names = self.swarm.docker.check_output("secret", "ls", "--format", "{{.Name}}").split()
        return sorted(name for name in names if name.startswith(self.store.prefix))

    def services(self) -> list[str]:
        names = self.swarm.docker.check_output("service", "ls", "--format", "{{.Name}}").split()
        return sorted(name for name in names if name.startswith(self.store.prefix))

    def at_work(self) -> list[str]:
        """Return the names of services that run remote commands. The service of a killed command remains for
        minutes."""
        names = [name for name in self.services() if name.startswith(f"{self.store.prefix}task-")]
        return [name for name in names if not all(task["Status"]["State"] in ENDED for task in self._tasks(name))]

    def _tasks(self, service: str) -> list[dict[str, Any]]:
        return self.inspect(
            "task", *self.swarm.docker.check_output("service", "ps", "--quiet", "--no-trunc", service).split()
        )

    def read(self, task: dict[str, Any], name: str) -> str:
        container = task["Status"]["ContainerStatus"]["ContainerID"]
        return self.swarm.docker.check_output("exec", container, "cat", f"/run/secrets/{name}")

    def stdin(self, name: str = "mqtt") -> dict[str, str]:
        task = self.tasks()[0]
        return {field: self.read(task, file.name) for field, file in self.store.delivered[name].items()}

    def learn(self) -> None:
        """Record the values in the server's tasks."""
        if self.store.service not in self.services():
            return
        places = {
            file.name
            for fields in self.store.delivered.values()
            for field, file in fields.items()
            if field not in PUBLIC_FIELDS
        }
        for task in self.tasks():
            there = {one["File"]["Name"] for one in task["Spec"]["ContainerSpec"].get("Secrets") or ()}
            for file in places & there:
                container = task["Status"]["ContainerStatus"]["ContainerID"]
                done = self.swarm.docker.start("exec", container, "cat", f"/run/secrets/{file}")
                if done.returncode == 0:  # it may have ended meanwhile
                    self.values.add(done.stdout)

    def until(self, what: str, check: Callable[[], object]) -> None:
        """Return once `check` is true. Fails the test after DEADLINE."""
        end, pause = time.monotonic() + DEADLINE, threading.Event()
        while not check():
            assert time.monotonic() < end, f"not within {DEADLINE} s: {what}\n{self.log()[-3000:]}"
            pause.wait(0.2)

    def log_of(self, service: str) -> str:
        label = f"label=com.docker.swarm.service.name={service}"
        return self._logs(*self.swarm.docker.check_output("ps", "-aq", "--filter", label).split())

    def log(self) -> str:
        """Return the logs of all containers. A service's own log may block on a removed container."""
        return self._logs(*self.swarm.docker.check_output("ps", "-aq").split())

    def _logs(self, *containers: str) -> str:
        done = [self.swarm.docker.start("logs", one) for one in containers]
        return "\n".join(each.stdout + each.stderr for each in done)


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=DEADLINE).is_success
    except httpx.TransportError:
        return False


def attached(spec: dict[str, Any]) -> list[str]:
    return sorted(one["SecretName"] for one in spec["ContainerSpec"].get("Secrets") or ())


def docker_environment(swarm: Swarm) -> dict[str, str]:
    """Return an environment in which `docker` uses the manager's daemon, without the user's settings."""
    path = f"{Path(swarm.docker.client).parent}:{os.environ['PATH']}"
    return {"PATH": path, "DOCKER_HOST": swarm.host, "DOCKER_CONFIG": str(swarm.docker.folder)}


@contextmanager
def events(swarm: Swarm, *filters: str) -> Iterator[Iterator[dict[str, Any]]]:
    command = ["docker", "events", "--format", "{{json .}}", "--since", str(time.time())]
    command += [word for each in filters for word in ("--filter", each)]
    with subprocess.Popen(command, env=docker_environment(swarm), stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        last = threading.Timer(DEADLINE, process.kill)
        last.start()
        try:
            yield (json.loads(line) for line in process.stdout)
        finally:
            last.cancel()
            process.kill()
