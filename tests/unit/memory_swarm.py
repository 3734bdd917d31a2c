"""Docker's Engine API in memory: secrets, configs and services of a Swarm with one manager. Updates end at once.

It compares versions, and rejects names that exist and secrets in use, as swarmkit does. A test sets how tasks end:
`verdict` for an update, `outcome` for a job. tests/contract/test_swarm_store.py uses a real Swarm.
"""

import base64
import itertools
import json
import struct
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import requests

from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.daemon import Connection
from tests.contract.swarm_place import FILES, InSwarm
from tests.real.accidents import killed_in_memory

HOUR = timedelta(hours=1)
V = tuple(f"v{number}" for number in range(10))
NODE = "node-1"
NEVER_RAN = "starting container failed: unable to remount dir as readonly: device or resource busy"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result and the output of a job's task."""

    state: str = "complete"
    code: int = 0
    error: str = ""
    out: bytes = b""
    err: bytes = b""


def _completed(_spec: dict[str, Any]) -> str:
    return "completed"


def _done(_spec: dict[str, Any]) -> Outcome:
    return Outcome()


@dataclass(eq=False)
class Engine(requests.Session):
    """The daemon. It takes the place of the HTTP session that connects to a daemon."""

    verdict: Callable[[dict[str, Any]], str] = _completed  # The state of an update to a spec.
    outcome: Callable[[dict[str, Any]], Outcome] = _done
    # Called before each request that writes, and `after` afterwards.
    before: Callable[[str, str], None] = lambda _method, _path: None
    after: Callable[[str, str], None] = lambda _method, _path: None
    texts: dict[str, str] = field(default_factory=dict)  # Name of a secret -> its text, also after its removal.
    objects: dict[str, dict[str, dict[str, Any]]] = field(
        default_factory=lambda: {"secrets": {}, "configs": {}, "services": {}}
    )
    tasks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    logs: dict[str, bytes] = field(default_factory=dict)
    interrupted: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        super().__init__()
        self._numbers = itertools.count(1)

    def request(self, method: Any, url: Any, *_: Any, json: Any = None, params: Any = None, **_more: Any) -> Any:
        path = str(url).removeprefix("memory://")
        if method != "GET":
            self.before(method, path)
        code, answer = self._answer(str(method), path.strip("/").split("/"), json, params or {})
        if method != "GET":
            self.after(method, path)
        return _response(code, answer)

    def _answer(self, method: str, words: list[str], body: Any, params: dict[str, str]) -> tuple[int, Any]:
        if method == "GET":
            found = self._read(words, params)
            return (404, {"message": "not found"}) if found is None else (200, found)
        match method, words:
            case "POST", ["containers", id, "kill"]:
                self.interrupted.append(id)
                return 204, {}
            case "POST", [kind, "create"]:
                return self._create(kind, body)
            case "POST", [kind, id, "update"]:
                return self._update(kind, id, body, params["version"])
        return self._remove(*words)

    def _read(self, words: list[str], params: dict[str, str]) -> Any:
        kind, *name = words
        if kind in self.objects and name:
            one = self._find(kind, name[0])
            return one and _copy(one)
        if kind in self.objects:
            return [_copy(each) for each in self.objects[kind].values() if _passes(each, params)]
        if kind == "tasks" and name:
            return self.logs.get(name[0], b"")
        running = (task for tasks in self.tasks.values() for task in tasks if task["Status"]["State"] == "running")
        found: dict[str, Callable[[], Any]] = {
            "info": lambda: {
                "Name": "manager",
                "SystemTime": _now(),
                "Swarm": {"NodeID": NODE, "ControlAvailable": True},
            },
            "version": lambda: {"ApiVersion": "1.41"},
            "swarm": lambda: {"Spec": {}},
            "nodes": lambda: self._node() if name else [self._node()],
            "tasks": lambda: self._tasks_of(json.loads(params["filters"])["service"]),
            "containers": lambda: [{"Id": task["ID"]} for task in running if task["Spec"]["Job"]],
        }
        return found[kind]()

    def _tasks_of(self, services: list[str]) -> list[dict[str, Any]]:
        found = (self._find("services", each) for each in services)
        return [task for service in found if service for task in self.tasks[service["ID"]]]

    def _node(self) -> dict[str, Any]:
        description = {"Hostname": "manager", "Engine": {"EngineVersion": "20.10.24"}}
        spec = {"Role": "manager", "Availability": "active"}
        return {"ID": NODE, "Spec": spec, "Description": description, "Status": {"State": "ready"}}

    def _find(self, kind: str, name: str) -> dict[str, Any] | None:
        found = self.objects[kind]
        return found.get(name) or next((each for each in found.values() if each["Spec"]["Name"] == name), None)

    def _create(self, kind: str, spec: Any) -> tuple[int, Any]:
        if self._find(kind, spec["Name"]):
            return 409, {"message": f"{kind} {spec['Name']} already exists"}
        id = f"{kind}-{next(self._numbers)}"
        stored = {key: entry for key, entry in spec.items() if key != "Data"}
        made = {"ID": id, "Version": {"Index": next(self._numbers)}, "CreatedAt": _now(), "Spec": _copy(stored)}
        self.objects[kind][id] = made
        if kind == "secrets":
            self.texts[spec["Name"]] = base64.b64decode(spec["Data"]).decode()
        if kind == "services":
            self.tasks[id] = []
            self._start(made)
        return 201, {"ID": id}

    def _update(self, kind: str, id: str, spec: Any, version: str) -> tuple[int, Any]:
        found = self._find(kind, id)
        if found is None:
            return 404, {"message": "not found"}
        if version != str(found["Version"]["Index"]):
            return 500, {"message": "rpc error: code = Unknown desc = update out of sequence"}
        before, found["Spec"] = found["Spec"], _copy(spec)
        if kind == "services":
            state = self.verdict(spec)
            found["UpdateStatus"] = {"State": state, "Message": state}
            if state == "completed":
                found["PreviousSpec"] = before
                self._start(found)
            else:
                self.tasks[id].append(
                    self._task(found, "failed", NEVER_RAN if "never ran" in state else "task: exit 1")
                )
                found["UpdateStatus"]["State"] = state.partition(":")[0]
                if state.startswith("rollback"):
                    found["Spec"] = before
        found["Version"] = {"Index": next(self._numbers)}
        return 200, {}

    def _remove(self, kind: str, name: str) -> tuple[int, Any]:
        found = self._find(kind, name)
        if found is None:
            return 404, {"message": "not found"}
        listed = {"secrets": "Secrets", "configs": "Configs"}.get(kind, "")
        key = f"{listed.removesuffix('s')}ID"
        for service in self.objects["services"].values():
            if any(entry[key] == found["ID"] for entry in _container(service).get(listed) or ()):
                return 400, {"message": f"'{name}' is in use by the following service: {service['Spec']['Name']}"}
        del self.objects[kind][found["ID"]]
        return 204, {}

    def _start(self, service: dict[str, Any]) -> None:
        tasks, mode = self.tasks[service["ID"]], service["Spec"].get("Mode") or {}
        if "ReplicatedJob" in mode:
            ended = self.outcome(service["Spec"])
            task = self._task(service, ended.state, ended.error)
            task["Status"]["ContainerStatus"] = {"ExitCode": ended.code}
            pieces = ((1, ended.out), (2, ended.err))
            self.logs[task["ID"]] = b"".join(struct.pack(">B3xI", at, len(text)) + text for at, text in pieces if text)
            tasks.append(task)
            return
        for old in tasks:
            old["DesiredState"] = "shutdown"
            old["Status"]["State"] = "shutdown"
        tasks += [self._task(service, "running") for _ in range(mode.get("Replicated", {}).get("Replicas", 0))]

    def _task(self, service: dict[str, Any], state: str, error: str = "") -> dict[str, Any]:
        spec = {**_copy(service["Spec"]["TaskTemplate"]), "Job": "ReplicatedJob" in service["Spec"].get("Mode", {})}
        status = {"State": state, "Err": error, "Timestamp": _now()}
        wanted = "running" if state == "running" else "shutdown"
        return {"ID": f"task-{next(self._numbers)}", "DesiredState": wanted, "Spec": spec, "Status": status}


@dataclass(frozen=True)
class InMemory(InSwarm):
    """A location of the Swarm store in an engine of its own."""

    engine: Engine = field(default_factory=Engine)

    def new_api(self) -> SwarmApi:
        return SwarmApi(lambda: Connection(self.engine, "memory://"))

    def texts(self) -> dict[str, str]:
        return {name: self.engine.texts[name] for name in self.named()}

    def delivered(self) -> dict[str, str | None]:
        texts = {each["File"]["Name"]: self.engine.texts[each["SecretName"]] for each in self.listed()}
        return {name: texts.get(file) for name, file in FILES.items()}

    def killed_at(self, work: Callable[[], object], moment: int) -> bool:
        return killed_in_memory(work, moment, self.engine)


def in_memory(folder: Path, name: str = "t1") -> InMemory:
    place = InMemory(json.dumps(["memory://", name, str(folder / "access.jsonl")]))
    place.make_service()
    return place


_fresh: dict[str, InMemory] = {}


def fresh(request: pytest.FixtureRequest, folder: Path) -> str:
    """Return the address of an unused location for `at`, in this process."""
    quick(request.getfixturevalue("monkeypatch"))
    folder.mkdir(exist_ok=True)
    place = in_memory(folder)
    _fresh[place.address] = place
    return place.address


def at(address: str) -> InMemory:
    return _fresh[address]


def lead_to(place: InMemory, monkeypatch: Any) -> None:
    begin = SwarmApi.__init__

    def opened(self: SwarmApi, connect: Callable[[], Connection] | None = None, **more: bool) -> None:
        begin(self, connect or (lambda: Connection(place.engine, "memory://")), **more)

    monkeypatch.setattr(SwarmApi, "__init__", opened)


def _passes(found: dict[str, Any], params: dict[str, str]) -> bool:
    filters = json.loads(params.get("filters", "{}"))
    labels = found["Spec"].get("Labels") or {}
    names = filters.get("name", [])
    return all(_has(labels, one) for one in filters.get("label", [])) and (
        not names or any(found["Spec"]["Name"].startswith(name) for name in names)
    )


def _has(labels: dict[str, str], wanted: str) -> bool:
    key, equals, text = wanted.partition("=")
    return key in labels and (not equals or labels[key] == text)


def _container(service: dict[str, Any]) -> dict[str, Any]:
    return service["Spec"]["TaskTemplate"].get("ContainerSpec") or {}


def _copy(found: Any) -> Any:
    return json.loads(json.dumps(found))


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}.000000000Z"


def _response(code: int, answer: Any) -> requests.Response:
    made = requests.Response()
    made.status_code = code
    made._content = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
    return made


def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make all pauses take no time."""
    from secretops.platforms.swarm import job, rollout, store, version_state
    from secretops.stores import retry

    for module in (version_state, store):
        monkeypatch.setattr(module, "PAUSES", (0.0, 0.0, 0.0))
    monkeypatch.setattr(retry, "CONFLICT_PAUSES", (0.0, 0.0, 0.0))
    for name, seconds in (("POLL", 0.0), ("SENT", 0.0), ("STEADY", 0.0), ("RUNS_WITHIN", 0.2)):
        monkeypatch.setattr(rollout, name, seconds)
    monkeypatch.setattr(job, "POLL", 0.0)
