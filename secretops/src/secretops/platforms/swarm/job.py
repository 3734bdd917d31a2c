"""Remote commands: a command that needs values runs as a job of one task in the Swarm that has them mounted.

No daemon returns a value, so `tick`, `rotate` and `put` run on the manager that is asked, with every kept version. The
process that starts the job passes on its output and exit code, and removes it: its log has the records of its reads.
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
from secretops.platforms.swarm.rollout import NEVER_RAN, STARTS, list_of, place
from secretops.platforms.swarm.task import MANIFEST_FILE, STARTER, VARIABLE, TaskPayload, payload_of
from secretops.platforms.swarm.version_state import VersionStateClient
from secretops.printable import ScreenedBytes
from secretops.values import Value

ENTRYPOINT = ("python", "-m", "secretops.platforms.swarm.task")

# Label of what a remote command is made of: its id.
TASK = "coreflux-mcp-secrets.task"

# Path of the daemon's socket in the task.
SOCKET = "/var/run/docker.sock"

# Seconds that a task may take to start: its image may have to be pulled.
START_SECONDS = 600.0
# Seconds that a task has to finish what it is doing, once it is told to stop.
STOP_SECONDS = 60
# Seconds between two polls.
LOOK = 0.5

# A task that has ended is followed by who started it for this long at most.
FOLLOWED = timedelta(minutes=2)
# What belongs to no task after this, or to one that has not started, is left over: longer than START_SECONDS.
BEGUN = timedelta(minutes=15)

STARTING = frozenset({"new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting"})
ENDED = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})

# Bytes before each piece of a log: its stream, and its length.
_HEADER = 8
# The streams of a log. The last has the daemon's own messages about what it can't read.
_OUT, _ERR, _DAEMON = 1, 2, 3


class NotStartedError(StoreError):
    """The daemon failed to start the task's container: nothing was begun, and another try may succeed."""


class Job:
    """One job, and what was made for it. Its output goes to `out` and `err`."""

    def __init__(
        self, api: SwarmApi, name: str, location: SwarmStoreLocation, *, out: IO[bytes], err: IO[bytes]
    ) -> None:
        self._api, self.name, self._location = api, name, location
        self._labels = {SWARM_INSTANCE: location.instance, TASK: name}
        self._streams = {_OUT: out, _ERR: err, _DAEMON: err}
        self._printed = dict.fromkeys(self._streams, 0)

    def make(
        self,
        payload: TaskPayload,
        command: Sequence[str],
        *,
        node: str,
        mounted: list[dict[str, Any]],
        login: str | None,
    ) -> None:
        """Start it. `login`: what the image is pulled with. Raises StoreError, UnreachableError."""
        configs = self._make("configs", payload.configs)
        values = self._make("secrets", payload.secrets)
        starter = this_actor("").removeprefix(":")
        container = {
            "Image": self._location.image,
            "Command": list(ENTRYPOINT),
            "Args": list(command),
            "Env": [f"{VARIABLE}={self.name}", f"{STARTER}={starter}", f"SECRETOPS_MANIFEST={MANIFEST_FILE}"],
            "User": "0:0",  # the socket is root's
            "ReadOnly": True,
            "CapabilityDrop": ["ALL"],
            "Mounts": [
                {"Type": "bind", "Source": socket_of(), "Target": SOCKET},
                {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"Mode": 0o1777}},  # noqa: S108 # nosec B108 - the task's own
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
        """Pass on its output until it ends, and return its exit code.

        Raises NotStartedError, UnreachableError, StoreError, also if somebody removed it.
        """
        began = time.monotonic()
        while True:
            if self._api.get(f"/services/{self.name}") is None:
                raise StoreError(
                    f"task {self.name} was removed before it ended",
                    rule="the process that started it removes it",
                    remedy="nothing to do: what was begun is finished by the next tick",
                )
            task = self._task()
            status = task["Status"] if task else {}
            state = status.get("State", "new")
            if task and state not in STARTING:
                self._pass_on(task["ID"])
            if state in ENDED:
                return self._exit_code(status)
            if state in STARTING and time.monotonic() - began > START_SECONDS:
                raise UnreachableError(
                    f"task {self.name} has not started in {START_SECONDS:.0f} s: {status.get('Err') or state}",
                    rule=f"it runs image {self._location.image} on the manager that was asked",
                    remedy="docker pull the image there, and look at docker node ls; nothing was begun",
                )
            time.sleep(LOOK)

    def remove(self) -> None:
        """Stop it, pass on its output until then, and remove it with what was made for it.

        Raises StoreError; UnreachableError: then it is there still, with its log.
        """
        self._stop()
        self._api.remove("services", self.name)
        for kind, each in made_for_jobs(self._api, f"{TASK}={self.name}"):
            self._api.remove(kind, each["ID"])

    def remove_if_possible(self) -> None:
        """Remove it, or leave it to the next command, which passes on the rest of its output."""
        try:
            self.remove()
        except SecretopsError as error:
            self.print(f"task {self.name} is not removed: {error.what}; the next one does it")

    def print(self, text: str) -> None:
        err = self._streams[_ERR]
        err.write(f"{text}\n".encode())
        err.flush()

    def _stop(self) -> None:
        """On this manager it is signalled, and waited for; of one elsewhere there is the output so far."""
        running = self._api.get("/containers/json", label=[f"com.docker.swarm.service.name={self.name}"]) or []
        for container in running:
            self._api.interrupt(container["Id"])
        end = time.monotonic() + (STOP_SECONDS if running else 0)
        while (task := self._task()) and task["Status"]["State"] not in ENDED and time.monotonic() < end:
            time.sleep(LOOK)
        if task and task["Status"]["State"] not in STARTING:
            try:
                self._pass_on(task["ID"])
            except StoreError as error:
                self.print(f"task {self.name}: the end of its log can't be read, and goes with it: {error.what}")

    def _task(self) -> dict[str, Any] | None:
        service = self._api.get(f"/services/{self.name}")
        tasks: list[dict[str, Any]] = self._api.get("/tasks", service=[service["ID"]]) if service else []
        return tasks[0] if tasks else None

    def _exit_code(self, status: dict[str, Any]) -> int:
        code = (status.get("ContainerStatus") or {}).get("ExitCode")
        if status["State"] == "complete":
            return ExitCode.DONE
        why = str(status.get("Err") or status.get("Message") or "no reason given")
        never_ran = why.startswith(NEVER_RAN)
        if status["State"] == "failed" and code in set(ExitCode) and not never_ran:
            return int(code)
        raise (NotStartedError if never_ran else StoreError)(
            f"task {self.name} {status['State']}: {why}",
            rule=f"it runs image {self._location.image}, as whom the daemon's socket belongs to",
            remedy="mend that (an image that needs a login: docker login where the command is typed), then try again; "
            "what was begun is finished by the next tick",
        )

    def _pass_on(self, task: str) -> None:
        """Pass on the output since the last call."""
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

    def _make(self, kind: Kind, contents: Mapping[str, bytes]) -> list[dict[str, Any]]:
        """Create what the task finds at each path."""
        made = []
        for at, (path, content) in enumerate(contents.items()):
            name = f"{self.name}-{at}"
            spec = {"Name": name, "Labels": self._labels, "Data": encoded(content)}
            id = self._create(kind, spec)
            made.append(_as_file("Config" if kind == "configs" else "Secret", name, id, path))
        return made

    def _create(self, kind: Kind, spec: dict[str, Any], login: str | None = None) -> str:
        """Create an object and return its id. Raises StoreError if its name is taken."""
        if (id := self._api.create(kind, spec, login=login)) is None:
            raise StoreError(
                f"{spec['Name']}: the name is taken, by what is not ours",
                rule="it was drawn by lot for this command; nothing was begun",
                remedy="try again; if it happens again, find out who makes such names",
            )
        return id


def made_for_jobs(api: SwarmApi, *labels: str) -> Iterator[tuple[Kind, dict[str, Any]]]:
    """Yield the secrets and configs that were made for jobs with these labels, each with its kind."""
    kinds: tuple[Kind, ...] = ("secrets", "configs")
    for kind in kinds:
        yield from ((kind, each) for each in api.get(f"/{kind}", label=list(labels)) or [])


class JobRunner:
    """Starts and removes the jobs of one stack's Swarm. Their output goes to `out` and `err`, by default our own."""

    def __init__(
        self,
        location: SwarmStoreLocation,
        api: SwarmApi | None = None,
        *,
        out: IO[bytes] | None = None,
        err: IO[bytes] | None = None,
        followed: timedelta = FOLLOWED,
        begun: timedelta = BEGUN,
    ) -> None:
        self._location, self._api = location, api or SwarmApi()
        self._out, self._err = out or ScreenedBytes(sys.stdout), err or ScreenedBytes(sys.stderr)
        self._inventory, self._followed, self._begun = Inventory(self._api, location), followed, begun
        self._labels = [f"{SWARM_INSTANCE}={location.instance}", TASK]

    @contextlib.contextmanager
    def running(self, payload: TaskPayload, command: Sequence[str]) -> Iterator[Job]:
        """Run `command` as a task until the block ends. Raises StoreError, UnreachableError."""
        name = f"{self._location.prefix}task-{secrets.token_hex(6)}"
        job = Job(self._api, name, self._location, out=self._out, err=self._err)
        node, login = self._node(), self._login(job)
        try:
            job.make(payload, command, node=node, mounted=self._mounted(), login=login)
            yield job
        finally:
            job.remove_if_possible()
            with contextlib.suppress(SecretopsError):  # then the next tick does it
                self._sweep()

    def clean(self) -> None:
        """Remove what killed commands left, once nobody waits for it. Raises StoreError, UnreachableError.

        The records of what their tasks read are first passed on to `err`: nobody else has them. Those that the killed
        process has passed on are then there twice.
        """
        now = time_of((self._api.get("/info") or {}).get("SystemTime"))
        for service in self._services():
            if self._is_left(service, now):
                self._job_of(service).remove_if_possible()
        for kind, each in made_for_jobs(self._api, *self._labels):
            if now - time_of(each["CreatedAt"]) > self._begun:
                self._api.remove(kind, each["ID"])  # refused while its task is there

    def clear(self) -> None:
        """Remove every job, also those that somebody waits for: the stack's values are removed altogether.

        Raises StoreError, UnreachableError: then something is left.
        """
        for service in self._services():
            self._job_of(service).remove()
        for kind, each in made_for_jobs(self._api, *self._labels):
            if not self._api.remove(kind, each["ID"]):
                raise StoreError(
                    f"{each['Spec']['Name']}: a service uses it",
                    rule="it was made for a command alone, and a secret that is used can't be removed",
                    remedy="docker service ls; remove the one that has it, then try again",
                )

    def _sweep(self) -> None:
        """Remove what is no longer kept and the task had mounted until now.

        Only while nobody rotates: a rotation may have been given a number, and made secrets of it, that the config does
        not have yet.
        """
        state = VersionStateClient(self._api, self._location).read()
        if state.lease is None:
            for secret in state.secrets:
                self._inventory.sweep(secret, state.secret(secret))

    def _services(self) -> list[dict[str, Any]]:
        return self._api.get("/services", label=self._labels) or []

    def _job_of(self, service: dict[str, Any]) -> Job:
        """Return another process's job. Nobody here reads its standard output; its standard error is passed on."""
        return Job(self._api, service["Spec"]["Name"], self._location, out=io.BytesIO(), err=self._err)

    def _is_left(self, service: dict[str, Any], now: datetime) -> bool:
        tasks = self._api.get("/tasks", service=[service["ID"]]) or []
        if all(task["Status"]["State"] in STARTING for task in tasks):
            return now - time_of(service["CreatedAt"]) > self._begun
        return all(
            task["Status"]["State"] in ENDED and now - time_of(task["Status"]["Timestamp"]) > self._followed
            for task in tasks
        )

    def _node(self) -> str:
        """Return the manager that was asked: the task mounts its socket. Raises StoreError if it takes no task."""
        id = ((self._api.get("/info") or {}).get("Swarm") or {}).get("NodeID") or ""
        node = self._api.get(f"/nodes/{id}") or {}
        availability = (node.get("Spec") or {}).get("Availability") or "active"
        if availability != "active":
            name = (node.get("Description") or {}).get("Hostname") or id
            raise StoreError(
                f"manager {name} takes no task: its availability is {availability}",
                rule="a command that needs values runs as a task on the manager that is asked; nothing was begun",
                remedy=f"lead DOCKER_HOST to a manager that is active (docker node ls), or: "
                f"docker node update --availability active {name}",
            )
        return str(id)

    def _login(self, job: Job) -> str | None:
        """Return what the image is pulled with; None if that can't be read: the image may be there, or public."""
        try:
            return registry_login(self._location.image)
        except UsageError as error:
            job.print(f"{error.what}: the image is asked for without\n-> {error.remedy}")
            return None

    def _mounted(self) -> list[dict[str, Any]]:
        """Return every value that is kept, and what somebody put in the place of one: each under its own name."""
        state = VersionStateClient(self._api, self._location).read()
        kept = {
            each.name: each.id
            for each in self._inventory.all()
            if each.config == state.id and each.number in state.secret(each.secret).living
        }
        service = self._api.get(f"/services/{self._location.service}")
        files = {file.name for files in self._location.delivered.values() for file in files.values()}
        for entry in list_of(service) if service else []:
            if place(entry) in files:
                kept.setdefault(entry["SecretName"], entry["SecretID"])
        return [_as_file("Secret", name, id, name) for name, id in kept.items()]


def carry(
    manifest: Manifest,
    command: Sequence[str],
    *,
    given: Value | None = None,
    also: Mapping[str, bytes] | None = None,
    out: IO[bytes] | None = None,
    err: IO[bytes] | None = None,
) -> int:
    """Run `secretops` with `command` as a task, and return its exit code. Its output goes to `out` and `err`.

    `also`: further files of the task, by their paths; everybody who may ask the daemon can read them.

    Raises StoreError if no such task can run, UnreachableError, UsageError.
    """
    if not isinstance(manifest.store, SwarmStoreLocation):
        raise UsageError(
            f"store {manifest.store.kind}: its commands run where they are typed",
            rule="only the values of a Swarm can't be read there",
            remedy="run the command itself",
        )
    payload = payload_of(manifest, given, also)
    api = SwarmApi(was_there="--scheduled" in command)  # the rotator begins when its daemon does, and waits for it
    runner = JobRunner(manifest.store, api, out=out, err=err)
    runner.clean()
    starts = STARTS
    while True:
        with runner.running(payload, command) as job:
            try:
                return job.follow()
            except NotStartedError as error:
                starts -= 1
                if not starts:
                    raise
                job.print(f"{error.what}; nothing was begun, it is started again")


def _as_file(what: str, name: str, id: str, path: str) -> dict[str, Any]:
    """Return an entry of a service's list that only root of the task may read."""
    return {f"{what}ID": id, f"{what}Name": name, "File": {"Name": path, "UID": "0", "GID": "0", "Mode": 0o400}}


def time_of(text: Any) -> datetime:
    """Parse a time as Go writes it, with nine digits after the point. A missing time is long ago."""
    return datetime.fromisoformat(str(text)[:19]).replace(tzinfo=UTC) if text else datetime.min.replace(tzinfo=UTC)
