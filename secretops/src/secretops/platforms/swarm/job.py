"""Run a command that needs values as a Swarm job of one task, which mounts them.

Docker returns no value of a secret, so `tick`, `rotate` and `put` run on the connected manager, with every stored
version mounted. The process that starts the job forwards its output, including access records, and its exit code. Then
it removes the job.
"""

from __future__ import annotations

import contextlib
import io
import secrets
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import IO, Any

from secretops.access import this_actor
from secretops.errors import ExitCode, SecretopsError, StoreError, UnreachableError, UsageError
from secretops.manifest import Manifest
from secretops.platforms.swarm.api import Kind, SwarmApi, encoded
from secretops.platforms.swarm.daemon import registry_login, socket_of
from secretops.platforms.swarm.inventory import Inventory
from secretops.platforms.swarm.location import SWARM_INSTANCE, SwarmStoreLocation
from secretops.platforms.swarm.rollout import NEVER_RAN, STARTS, file_of, secrets_of
from secretops.platforms.swarm.task import MANIFEST_FILE, STARTER, VARIABLE, Payload, payload_of
from secretops.platforms.swarm.version_state import VersionStateClient
from secretops.printable import ScreenedBytes
from secretops.values import Value

ENTRYPOINT = ("python", "-m", "secretops.platforms.swarm.task")

# Label with the id of a job, on all its objects.
TASK = "coreflux-mcp-secrets.task"

# Path of the daemon's socket in the task.
SOCKET = "/var/run/docker.sock"

# Seconds that a task may take to start: its image may have to be pulled.
START_SECONDS = 600.0
# Seconds that a task has to finish its step after a signal.
STOP_SECONDS = 60
# Seconds between two polls.
POLL = 0.5

# A job is leftover if its task ended this long ago. Until then, the process that started it may forward its output.
MAX_FOLLOW = timedelta(minutes=2)
# A job whose task has not started is leftover at this age, which is longer than START_SECONDS.
MAX_START = timedelta(minutes=15)

STARTING = frozenset({"new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting"})
ENDED = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})

# Bytes of the header of each piece of a log: stream and length.
_HEADER = 8
# Streams of a log. The last one has the daemon's messages about logs that it can't read.
_OUT, _ERR, _DAEMON = 1, 2, 3


class NotStartedError(StoreError):
    """The container did not start. Another attempt may succeed."""


class Job:
    def __init__(
        self, api: SwarmApi, name: str, location: SwarmStoreLocation, *, out: IO[bytes], err: IO[bytes]
    ) -> None:
        self._api, self.name, self._location = api, name, location
        self._labels = {SWARM_INSTANCE: location.instance, TASK: name}
        self._streams = {_OUT: out, _ERR: err, _DAEMON: err}
        self._printed = dict.fromkeys(self._streams, 0)

    def start(
        self, payload: Payload, command: Sequence[str], *, node: str, mounted: list[dict[str, Any]], login: str | None
    ) -> None:
        """Create the job. `login`: see `daemon.registry_login`."""
        configs, values = self._create_files("configs", payload[0]), self._create_files("secrets", payload[1])
        starter = this_actor("").removeprefix(":")
        container = {
            "Image": self._location.image,
            "Command": list(ENTRYPOINT),
            "Args": list(command),
            "Env": [f"{VARIABLE}={self.name}", f"{STARTER}={starter}", f"SECRETOPS_MANIFEST={MANIFEST_FILE}"],
            "User": "0:0",  # only root may use the socket
            "ReadOnly": True,
            "CapabilityDrop": ["ALL"],
            "Mounts": [
                {"Type": "bind", "Source": socket_of(), "Target": SOCKET},
                {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"Mode": 0o1777}},  # noqa: S108 # nosec B108 - the task's own folder
            ],
            "StopGracePeriod": STOP_SECONDS * 1_000_000_000,
            "Configs": configs,
            "Secrets": [*mounted, *values],
        }
        template = {
            "ContainerSpec": container,
            "RestartPolicy": {"Condition": "none"},
            "Placement": {"Constraints": [f"node.id=={node}"]},
            "Networks": [{"Target": network} for network in self._location.networks],
            "LogDriver": {"Name": "json-file", "Options": {"max-size": "10m"}},
        }
        spec = {
            "Name": self.name,
            "Labels": self._labels,
            "TaskTemplate": template,
            "Mode": {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}},
            "EndpointSpec": {"Mode": "dnsrr"},
        }
        self._create("services", spec, login)

    def follow(self) -> int:
        """Forward the output, and return the exit code.

        Raises NotStartedError, UnreachableError, StoreError.
        """
        began = time.monotonic()
        while True:
            if self._api.get(f"/services/{self.name}") is None:
                raise StoreError(
                    f"task {self.name} was removed before it ended",
                    rule="only the process that starts a task may remove it",
                    remedy="finish the rotation: secretops tick",
                    code="task-removed",
                )
            task = self._task()
            status = task["Status"] if task else {}
            state = status.get("State", "new")
            if task and state not in STARTING:
                self._forward_output(task["ID"])
            if state in ENDED:
                return self._exit_code(status)
            if state in STARTING and time.monotonic() - began > START_SECONDS:
                raise UnreachableError(
                    f"task {self.name} has not started in {START_SECONDS:.0f} s: {status.get('Err') or state}",
                    rule=f"the connected manager must be able to run image {self._location.image}",
                    remedy=f"on the connected manager: docker pull {self._location.image}; to check the manager's "
                    "state: docker node ls",
                    code="task-not-started",
                )
            time.sleep(POLL)

    def remove(self) -> None:
        """Stop the task, forward its output, and remove the job's objects. On an error, some remain."""
        self._stop()
        self._api.remove("services", self.name)
        for kind, each in job_objects(self._api, f"{TASK}={self.name}"):
            self._api.remove(kind, each["ID"])

    def remove_if_possible(self) -> None:
        try:
            self.remove()
        except SecretopsError as error:
            self.print(f"task {self.name} was not removed: {error.what}; the next command removes it")

    def print(self, text: str) -> None:
        err = self._streams[_ERR]
        err.write(f"{text}\n".encode())
        err.flush()

    def _stop(self) -> None:
        running = self._api.get("/containers/json", label=[f"com.docker.swarm.service.name={self.name}"]) or []
        for container in running:
            self._api.interrupt(container["Id"])
        end = time.monotonic() + (STOP_SECONDS if running else 0)
        while (task := self._task()) and task["Status"]["State"] not in ENDED and time.monotonic() < end:
            time.sleep(POLL)
        if task and task["Status"]["State"] not in STARTING:
            try:
                self._forward_output(task["ID"])
            except StoreError as error:
                self.print(f"task {self.name}: the end of its log is lost: {error.what}")

    def _task(self) -> dict[str, Any] | None:
        service = self._api.get(f"/services/{self.name}")
        tasks: list[dict[str, Any]] = self._api.get("/tasks", service=[service["ID"]]) if service else []
        return tasks[0] if tasks else None

    def _exit_code(self, status: dict[str, Any]) -> int:
        code = (status.get("ContainerStatus") or {}).get("ExitCode")
        if status["State"] == "complete":
            return ExitCode.DONE
        why = str(status.get("Err") or status.get("Message") or "no reason reported")
        never_ran = why.startswith(NEVER_RAN)
        if status["State"] == "failed" and code in set(ExitCode) and not never_ran:
            return int(code)
        raise (NotStartedError if never_ran else StoreError)(
            f"task {self.name} {status['State']}: {why}",
            rule=f"the manager must run image {self._location.image}, as root and with the daemon's socket",
            remedy="correct the cause (for example, log in to the image's registry on this machine: docker login), "
            "then try again",
            code="swarm-task-failed",
        )

    def _forward_output(self, task: str) -> None:
        pieces = dict.fromkeys(self._streams, b"")
        log = self._api.text(f"/tasks/{task}/logs", stdout="1", stderr="1") or b""
        while len(log) > _HEADER:
            length = int.from_bytes(log[4:_HEADER], "big")
            pieces[log[0]] = pieces.get(log[0], b"") + log[_HEADER : _HEADER + length]
            log = log[_HEADER + length :]
        for stream, file in self._streams.items():
            if new := pieces[stream][self._printed[stream] :]:
                self._printed[stream] = len(pieces[stream])
                file.write(new)
                file.flush()

    def _create_files(self, kind: Kind, contents: Mapping[str, bytes]) -> list[dict[str, Any]]:
        entries = []
        for at, (path, content) in enumerate(contents.items()):
            name = f"{self.name}-{at}"
            id = self._create(kind, {"Name": name, "Labels": self._labels, "Data": encoded(content)})
            entries.append(_mount("Config" if kind == "configs" else "Secret", name, id, path))
        return entries

    def _create(self, kind: Kind, spec: dict[str, Any], login: str | None = None) -> str:
        if (id := self._api.create(kind, spec, login=login)) is None:
            raise StoreError(
                f"{spec['Name']}: another object has this random name",
                rule="the names of a command's objects must be unique; nothing was started",
                remedy="try again",
                code="task-name-taken",
            )
        return id


def job_objects(api: SwarmApi, *labels: str) -> Iterator[tuple[Kind, dict[str, Any]]]:
    kinds: tuple[Kind, ...] = ("secrets", "configs")
    for kind in kinds:
        yield from ((kind, each) for each in api.get(f"/{kind}", label=list(labels)) or [])


class JobRunner:
    """Runs jobs. Their output goes to `out` and `err`, by default to standard output and error."""

    def __init__(
        self,
        location: SwarmStoreLocation,
        api: SwarmApi | None = None,
        *,
        out: IO[bytes] | None = None,
        err: IO[bytes] | None = None,
        max_follow: timedelta = MAX_FOLLOW,
        max_start: timedelta = MAX_START,
    ) -> None:
        self._location, self._api = location, api or SwarmApi()
        self._out, self._err = out or ScreenedBytes(sys.stdout), err or ScreenedBytes(sys.stderr)
        self._inventory, self._max_follow, self._max_start = Inventory(self._api, location), max_follow, max_start
        self._labels = [f"{SWARM_INSTANCE}={location.instance}", TASK]

    @contextlib.contextmanager
    def running(self, payload: Payload, command: Sequence[str]) -> Iterator[Job]:
        name = f"{self._location.prefix}task-{secrets.token_hex(6)}"
        job = Job(self._api, name, self._location, out=self._out, err=self._err)
        node, login = self._node(), self._login(job)
        try:
            job.start(payload, command, node=node, mounted=self._mounted(), login=login)
            yield job
        finally:
            job.remove_if_possible()
            with contextlib.suppress(SecretopsError):  # then the next tick removes them
                self._sweep()

    def remove_leftovers(self) -> None:
        """Remove jobs whose starting process was killed. Prints their access records, possibly again."""
        now = parse_time((self._api.get("/info") or {}).get("SystemTime"))
        for service in self._services():
            if self._is_left(service, now):
                self._job_of(service).remove_if_possible()
        for kind, each in job_objects(self._api, *self._labels):
            if now - parse_time(each["CreatedAt"]) > self._max_start:
                self._api.remove(kind, each["ID"])  # Docker refuses while the task exists

    def remove_all(self) -> None:
        """Remove all jobs. Raises StoreError, UnreachableError if some remain."""
        for service in self._services():
            self._job_of(service).remove()
        for kind, each in job_objects(self._api, *self._labels):
            if not self._api.remove(kind, each["ID"]):
                raise StoreError(
                    f"{each['Spec']['Name']}: a service uses it",
                    rule="Docker removes only unused objects; this object was created for a single command",
                    remedy="find the service that uses the object (docker service ls) and remove that service; then "
                    "try again",
                    code="task-object-in-use",
                )

    def _sweep(self) -> None:
        state = VersionStateClient(self._api, self._location).read()
        if state.lease is None:
            for secret in state.secrets:
                self._inventory.sweep(secret, state.secret(secret))

    def _services(self) -> list[dict[str, Any]]:
        return self._api.get("/services", label=self._labels) or []

    def _job_of(self, service: dict[str, Any]) -> Job:
        return Job(self._api, service["Spec"]["Name"], self._location, out=io.BytesIO(), err=self._err)

    def _is_left(self, service: dict[str, Any], now: datetime) -> bool:
        tasks = self._api.get("/tasks", service=[service["ID"]]) or []
        if all(task["Status"]["State"] in STARTING for task in tasks):
            return now - parse_time(service["CreatedAt"]) > self._max_start
        return all(
            task["Status"]["State"] in ENDED and now - parse_time(task["Status"]["Timestamp"]) > self._max_follow
            for task in tasks
        )

    def _node(self) -> str:
        id = ((self._api.get("/info") or {}).get("Swarm") or {}).get("NodeID") or ""
        node = self._api.get(f"/nodes/{id}") or {}
        availability = (node.get("Spec") or {}).get("Availability") or "active"
        if availability != "active":
            name = (node.get("Description") or {}).get("Hostname") or id
            raise StoreError(
                f"manager {name} accepts no task: its availability is {availability}",
                rule="the connected manager must accept tasks: a command that needs secret values runs as a task",
                remedy=f"docker node update --availability active {name}; or point DOCKER_HOST at an active manager",
                code="manager-not-active",
            )
        return str(id)

    def _login(self, job: Job) -> str | None:
        """Return the registry login. None if it cannot be read: the image may be public."""
        try:
            return registry_login(self._location.image)
        except UsageError as error:
            job.print(f"{error.what}: pulling the image without a login\n-> {error.remedy}")
            return None

    def _mounted(self) -> list[dict[str, Any]]:
        state = VersionStateClient(self._api, self._location).read()
        kept = {
            each.name: each.id
            for each in self._inventory.all()
            if each.config == state.id and each.number in state.secret(each.secret).living
        }
        service = self._api.get(f"/services/{self._location.service}")
        files = {file.name for files in self._location.delivered.values() for file in files.values()}
        for entry in secrets_of(service) if service else []:
            if file_of(entry) in files:
                kept.setdefault(entry["SecretName"], entry["SecretID"])
        return [_mount("Secret", name, id, name) for name, id in kept.items()]


def run_job(
    location: SwarmStoreLocation,
    manifest: Manifest,
    command: Sequence[str],
    *,
    supplied: Value | None = None,
    files: Mapping[str, bytes] | None = None,
    out: IO[bytes] | None = None,
    err: IO[bytes] | None = None,
) -> int:
    """Run `secretops` as a job, and return its exit code. `files`: public files for the task, by path."""
    payload = payload_of(manifest, supplied, files)
    api = SwarmApi(was_there="--scheduled" in command)  # the rotator may start before its daemon, and then waits for it
    runner = JobRunner(location, api, out=out, err=err)
    runner.remove_leftovers()
    starts = STARTS
    while True:
        with runner.running(payload, command) as job:
            try:
                return job.follow()
            except NotStartedError as error:
                starts -= 1
                if not starts:
                    raise
                job.print(f"{error.what}; starting it again")


def _mount(what: str, name: str, id: str, path: str) -> dict[str, Any]:
    return {f"{what}ID": id, f"{what}Name": name, "File": {"Name": path, "UID": "0", "GID": "0", "Mode": 0o400}}


def parse_time(text: Any) -> datetime:
    """Parse a time of Docker, to the second. An empty text becomes the earliest time."""
    return datetime.fromisoformat(str(text)[:19]).replace(tzinfo=UTC) if text else datetime.min.replace(tzinfo=UTC)
