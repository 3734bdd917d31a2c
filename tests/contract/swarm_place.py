"""The Swarm store's place: one service of a real Swarm. Readers find the files of its containers."""

from __future__ import annotations

import base64
import functools
import json
import secrets
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import pytest

from secretops.access import AccessRecords
from secretops.platforms.swarm.location import SwarmFile, SwarmStoreLocation
from tests.real.accidents import killed_around_writes
from tests.real.dockerd import BASE, DEADLINE
from tests.real.swarm import Swarm

if TYPE_CHECKING:  # where the extra is not installed, its row skips
    from secretops.platforms.swarm.api import SwarmApi
    from secretops.platforms.swarm.store import SwarmVersionStore
    from secretops.stores.lease import Timing

Answer = TypeVar("Answer")
FILES = {"username": "it_username", "password": "it_password", "ca.crt": "ca.crt"}
# Prints the files of a container, one a line.
SHOW = 'for each in /run/secrets/*; do [ -e "$each" ] && echo "$(basename "$each") $(base64 -w0 "$each")"; done; true'


@dataclass(frozen=True)
class InSwarm:
    """A service with one replica that sleeps, and the secrets whose names start with the service's name."""

    address: str  # The daemon's socket, the service's name and a file of access records.

    read_before: ClassVar[dict[str, str]] = {}  # Name of a Swarm secret -> its text, which is immutable.

    @classmethod
    def fresh(cls, request: pytest.FixtureRequest, folder: Path) -> str:
        pytest.importorskip("docker")
        swarm: Swarm = request.getfixturevalue("swarm")
        swarm.debian()
        folder.mkdir(exist_ok=True)
        place = cls(json.dumps([swarm.host, f"t{secrets.token_hex(3)}", str(folder / "access.jsonl")]))
        place.make_service()
        request.addfinalizer(place.remove_service)
        return place.address

    @property
    def name(self) -> str:
        return str(json.loads(self.address)[1])

    @property
    def environment(self) -> dict[str, str]:
        return {"DOCKER_HOST": str(json.loads(self.address)[0])}

    @property
    def location(self) -> SwarmStoreLocation:
        return SwarmStoreLocation(
            prefix=f"{self.name}-",
            state_config=f"{self.name}-versions",
            instance=self.name,
            service=self.name,
            delivered={"it": {field: SwarmFile(name=file) for field, file in FILES.items()}},
            uid=10001,
            image=BASE,
            networks=("host",),
        )

    def new_api(self) -> SwarmApi:
        from secretops.platforms.swarm.api import SwarmApi
        from secretops.platforms.swarm.daemon import open_connection

        return SwarmApi(lambda: open_connection(self.environment))

    @functools.cached_property
    def api(self) -> SwarmApi:
        return self.new_api()

    def open(self, location: SwarmStoreLocation | None = None, *, timing: Timing | None = None) -> SwarmVersionStore:
        from secretops.platforms.swarm.store import SwarmVersionStore
        from secretops.stores.lease import Timing

        return SwarmVersionStore(
            location or self.location,
            self.new_api(),
            values=ReadByTask(self),
            records=AccessRecords(self.records_file, "tester"),
            timing=timing or Timing(duration=6, renew=0.5, poll=0.25),
        )

    @property
    def records_file(self) -> Path:
        return Path(json.loads(self.address)[2])

    def make_service(
        self,
        *,
        command: tuple[str, ...] = ("sleep", "infinity"),
        replicas: int = 1,
        monitor: float = 0.2,
        image: str = BASE,
    ) -> None:
        """Create the service. If a new task fails within `monitor` seconds, the service is rolled back."""
        update = {"Parallelism": 1, "Order": "start-first", "FailureAction": "rollback", "Monitor": int(monitor * 1e9)}
        container = {"Image": image, "Command": list(command), "StopSignal": "SIGKILL"}
        self.api.create(
            "services",
            {
                "Name": self.name,
                "TaskTemplate": {"ContainerSpec": container, "Networks": [{"Target": "host"}]},
                "Mode": {"Replicated": {"Replicas": replicas}},
                "UpdateConfig": update,
                "RollbackConfig": {**update, "FailureAction": "pause"},
            },
        )

    def remove_service(self) -> None:
        self.api.remove("services", self.name)

    def service(self) -> dict[str, Any]:
        found: dict[str, Any] = self.api.get(f"/services/{self.name}")
        return found

    def listed(self) -> list[dict[str, Any]]:
        return self.service()["Spec"]["TaskTemplate"]["ContainerSpec"].get("Secrets") or []

    def set_list(self, entries: list[dict[str, Any]]) -> None:
        self.change(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Secrets=entries))

    def change(self, decide: Callable[[dict[str, Any]], object]) -> None:
        self.send(decide)
        self.settled()

    def send(self, decide: Callable[[dict[str, Any]], object]) -> None:
        while True:
            found = self.service()
            decide(found["Spec"])
            if self.api.update("services", found, found["Spec"]):
                break

    def settled(self) -> list[dict[str, Any]]:
        """Return the running tasks, once no update is in progress."""

        def look() -> list[dict[str, Any]] | None:
            if (self.service().get("UpdateStatus") or {}).get("State") in ("updating", "rollback_started"):
                return None
            tasks = [each for each in self.tasks() if each["DesiredState"] == "running"]
            return tasks if all(each["Status"]["State"] == "running" for each in tasks) else None

        return until(look)

    def tasks(self, service: str = "") -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.api.get("/tasks", service=[service or self.name])
        return found

    def delivered(self) -> dict[str, str | None]:
        tasks = self.settled()
        assert len(tasks) == 1
        files = self.files(tasks[0]["Status"]["ContainerStatus"]["ContainerID"])
        return {field: files.get(file) for field, file in FILES.items()}

    def files(self, container: str) -> dict[str, str]:
        return shown(self.docker("exec", container, "sh", "-c", SHOW))

    def docker(self, *arguments: str) -> str:
        command = ["/usr/bin/docker", *arguments]
        return subprocess.run(command, env=self.environment, capture_output=True, text=True, check=True).stdout

    def named(self) -> dict[str, str]:
        """Return name -> id of each secret with the place's prefix."""
        listed = self.api.get("/secrets", name=[f"{self.name}-"])
        return {each["Spec"]["Name"]: each["ID"] for each in listed}

    def texts(self) -> dict[str, str]:
        there = self.named()
        if unknown := {name: id for name, id in there.items() if name not in self.read_before}:
            self.read_before.update(self._read(unknown))
        return {name: self.read_before[name] for name in there}

    def keeps(self, text: str) -> list[str]:
        found = [name for name, value in self.texts().items() if text in value]
        labels = (self.api.get(f"/configs/{self.name}-versions") or {}).get("Spec", {}).get("Labels", {})
        shown = {**labels, "service": json.dumps(self.service())}
        return [*found, *(name for name, value in shown.items() if text and text in value)]

    def edit(self, old: str, new: str) -> None:
        texts = self.texts()
        mine = f"{self.name}-mine-{secrets.token_hex(3)}"
        (entry,) = (each for each in self.listed() if old in texts[each["SecretName"]])
        text = texts[entry["SecretName"]].replace(old, new)
        encoded = base64.b64encode(text.encode()).decode()
        made = self.api.create("secrets", {"Name": mine, "Data": encoded})
        others = [each for each in self.listed() if each != entry]
        self.set_list([*others, {**entry, "SecretID": made, "SecretName": mine}])

    def clear(self) -> None:
        self.set_list([])

    def records(self) -> list[dict[str, str]]:
        path = self.records_file
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        import requests

        return killed_around_writes(work, moment, requests.Session, "request")

    def _read(self, wanted: dict[str, str]) -> dict[str, str]:
        reader = f"reader-{secrets.token_hex(4)}"
        entries = [
            {"SecretID": id, "SecretName": name, "File": {"Name": name, "UID": "0", "GID": "0", "Mode": 0o400}}
            for name, id in wanted.items()
        ]
        container = {"Image": BASE, "Command": ["sh", "-c", SHOW], "Secrets": entries}
        template = {
            "ContainerSpec": container,
            "RestartPolicy": {"Condition": "none"},
            "Networks": [{"Target": "host"}],
            "LogDriver": {"Name": "json-file"},
        }
        self.api.create("services", {"Name": reader, "TaskTemplate": template, "Mode": {"Replicated": {"Replicas": 1}}})
        try:
            return until(lambda: _all(shown(self.docker("service", "logs", "--raw", reader)), wanted))
        finally:
            self.api.remove("services", reader)


class ReadByTask:
    """`Values` for a process that is no task: reads each text with a task, and remembers no write."""

    def __init__(self, place: InSwarm) -> None:
        self._place = place

    def text(self, name: str) -> str | None:
        return self._place.texts().get(name)

    def keep(self, name: str, text: str) -> None:
        pass


def shown(lines: str) -> dict[str, str]:
    """Return file -> text of SHOW's output."""
    pairs = (line.partition(" ") for line in lines.splitlines())
    return {name: base64.b64decode(text).decode() for name, _, text in pairs}


def until(look: Callable[[], Answer | None]) -> Answer:
    end, pause = time.monotonic() + DEADLINE, threading.Event()
    while not (found := look()) and time.monotonic() < end:
        pause.wait(0.1)
    assert found, "it never came"
    return found


def _all(found: dict[str, str], wanted: dict[str, str]) -> dict[str, str] | None:
    return found if found.keys() >= wanted.keys() else None
