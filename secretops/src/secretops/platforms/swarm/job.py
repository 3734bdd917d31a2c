"""One job of one task in a Swarm: made, followed to its end, stopped and removed. What it says is passed on first: its
log goes with it, and has the records of what it read.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import IO, Any

from secretops.errors import ExitCode, StoreError, UnreachableError
from secretops.platforms.swarm.api import Api, Kind, encoded
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.names import INSTANCE, TASK
from secretops.platforms.swarm.rollout import NEVER_RAN
from secretops.platforms.swarm.task import STARTER, VARIABLE, starter
from secretops.platforms.swarm.task_payload import MANIFEST_FILE, Load

ENTRYPOINT = ("python", "-m", "secretops.platforms.swarm.task_main")

SOCKET = "/var/run/docker.sock"
"""Where the task finds the daemon's."""

START_SECONDS = 600.0
"""How long a task may be in starting: its image may have to be pulled."""

LOOK = 0.5

STOP_SECONDS = 60
"""What a task has, once it is told to stop, to end what it is at."""

STARTING = frozenset({"new", "allocated", "pending", "assigned", "accepted", "preparing", "ready", "starting"})
ENDED = frozenset({"complete", "failed", "rejected", "shutdown", "orphaned", "remove"})

OF_JOBS: tuple[Kind, ...] = ("secrets", "configs")
"""What may be made for one, beside its service."""

_HEADER = 8
"""Bytes before each piece of a log: which stream it is of, and its length."""

_OUT, _ERR, _DAEMON = 1, 2, 3
"""The streams of a log. The last is the daemon's own word, on what it can't read of the others."""


class NotStartedError(StoreError):
    """The daemon did not get the task's container started: nothing was begun, and another try may do."""


class Job:
    """One job, and what was made for it. What it prints goes to `out` and `err`."""

    def __init__(self, api: Api, name: str, location: SwarmStoreLocation, *, out: IO[bytes], err: IO[bytes]) -> None:
        self._api, self.name, self._location = api, name, location
        self._labels = {INSTANCE: location.instance, TASK: name}
        self._streams = {_OUT: out, _ERR: err, _DAEMON: err}
        self._printed = dict.fromkeys(self._streams, 0)

    def make(
        self,
        load: Load,
        command: Sequence[str],
        *,
        node: str,
        socket: str,
        attached: list[dict[str, Any]],
        login: str | None = None,
    ) -> None:
        """Start it. `login`: what the image is pulled with. Raises StoreError, UnreachableError."""
        configs = self._make("configs", load.configs)
        values = self._make("secrets", load.secrets)
        container = {
            "Image": self._location.image,
            "Command": list(ENTRYPOINT),
            "Args": list(command),
            "Env": [
                f"{VARIABLE}={self.name}",
                f"{STARTER}={starter()}",
                f"SECRETOPS_MANIFEST={MANIFEST_FILE}",
            ],
            "User": "0:0",  # the socket is root's
            "ReadOnly": True,
            "CapabilityDrop": ["ALL"],
            "Mounts": [
                {"Type": "bind", "Source": socket, "Target": SOCKET},
                {"Type": "tmpfs", "Target": "/tmp", "TmpfsOptions": {"Mode": 0o1777}},  # noqa: S108 # nosec B108 - the task's own
            ],
            "StopGracePeriod": STOP_SECONDS * 1_000_000_000,
            "Configs": configs,
            "Secrets": [*attached, *values],
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
        self._own(self.name, self._api.create("services", spec, login=login))

    def follow(self) -> int:
        """Pass on what it prints until it ends, and give its exit code.

        Raises NotStartedError, StoreError, UnreachableError.
        """
        began = time.monotonic()
        while True:
            task = self._look()
            status = task["Status"] if task else {}
            state = status.get("State", "new")
            if task and state not in STARTING:
                self._pass_on(task["ID"])
            if state in ENDED:
                return self._ended(status)
            if state in STARTING and time.monotonic() - began > START_SECONDS:
                raise UnreachableError(
                    f"task {self.name} has not started in {START_SECONDS:.0f} s: {status.get('Err') or state}",
                    rule=f"it runs image {self._location.image} on the manager that was asked",
                    remedy="docker pull the image there, and look at docker node ls; nothing was begun",
                )
            time.sleep(LOOK)

    def remove(self) -> None:
        """End it, pass on what it says until then, and remove it with what was made for it.

        Raises StoreError; UnreachableError: then it is there still, with its log.
        """
        self._end()
        self._api.remove("services", self.name)
        for kind in OF_JOBS:
            for each in self._api.get(f"/{kind}", label=[f"{TASK}={self.name}"]) or []:
                self._api.remove(kind, each["ID"])

    def _end(self) -> None:
        """On this manager it is told to end, and waited for; of one elsewhere there is what it has said so far."""
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
                self.say(f"task {self.name}: the end of its log can't be read, and goes with it: {error.what}")

    def say(self, text: str) -> None:
        """A line beside what it prints."""
        err = self._streams[_ERR]
        err.write(f"{text}\n".encode())
        err.flush()

    def _look(self) -> dict[str, Any] | None:
        """Its task. Raises StoreError when somebody removed it."""
        if self._api.get(f"/services/{self.name}") is None:
            raise StoreError(
                f"task {self.name} was removed before it ended",
                rule="it is removed by whoever started it",
                remedy="nothing to do: what was begun is finished by the next tick",
            )
        return self._task()

    def _task(self) -> dict[str, Any] | None:
        service = self._api.get(f"/services/{self.name}")
        tasks: list[dict[str, Any]] = self._api.get("/tasks", service=[service["ID"]]) if service else []
        return tasks[0] if tasks else None

    def _ended(self, status: dict[str, Any]) -> int:
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
        """What it has printed since we looked last."""
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
        """What the task finds at each path, made for it alone."""
        made = []
        for at, (path, content) in enumerate(contents.items()):
            name = f"{self.name}-{at}"
            spec = {"Name": name, "Labels": self._labels, "Data": encoded(content)}
            id = self._own(name, self._api.create(kind, spec))
            made.append(as_file("Config" if kind == "configs" else "Secret", name, id, path))
        return made

    @staticmethod
    def _own(name: str, id: str | None) -> str:
        """The id of what was made. Raises StoreError where the name was somebody's."""
        if id is None:
            raise StoreError(
                f"{name}: the name is taken, by what is not ours",
                rule="it was drawn by lot for this command; nothing was begun",
                remedy="try again; if it happens again, find out who makes such names",
            )
        return id


def as_file(what: str, name: str, id: str, path: str) -> dict[str, Any]:
    """An entry of a service's list: only root of the task may read it."""
    return {f"{what}ID": id, f"{what}Name": name, "File": {"Name": path, "UID": "0", "GID": "0", "Mode": 0o400}}
