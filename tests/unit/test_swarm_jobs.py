"""Commands that run as a task in a Swarm in memory: the task's input, its end, and leftovers.
tests/stacks/test_swarm.py uses a real Swarm."""

import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.errors import ExitCode
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol
from secretops.platforms.swarm import job
from secretops.platforms.swarm.api import encoded
from secretops.platforms.swarm.job import ENTRYPOINT, TASK, JobRunner
from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.platforms.swarm.task import MANIFEST_FILE, payload_of
from secretops.values import Value, new_password
from tests.contract.versions import publish
from tests.unit.memory_swarm import NODE, InMemory, Outcome, V, in_memory, lead_to, quick


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InMemory:
    made = in_memory(tmp_path)
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    monkeypatch.setenv("DOCKER_HOST", "unix:///run/mine.sock")
    lead_to(made, monkeypatch)
    return made


def manifest_of(place: InMemory) -> Manifest:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="h", port=1, protocol=MqttProtocol.V5, tls=True)
    return Manifest(project="p", stack="s", store=place.location, broker=broker, secrets=(), grace_seconds=1)


def tasks_of(place: InMemory, **more: Any) -> JobRunner:
    return JobRunner(place.location, place.new_api(), **{"out": io.BytesIO(), "err": io.BytesIO(), **more})


def left(place: InMemory) -> list[str]:
    kinds = place.engine.objects.values()
    return [one["Spec"]["Name"] for kind in kinds for one in kind.values() if TASK in (one["Spec"].get("Labels") or {})]


def run_job(place: InMemory, *command: str, supplied_value: Value | None = None) -> tuple[int, bytes, bytes]:
    out, err = io.BytesIO(), io.BytesIO()
    return (
        job.run_job(place.location, manifest_of(place), command, supplied=supplied_value, out=out, err=err),
        out.getvalue(),
        err.getvalue(),
    )


def test_job_mounts_stored_and_supplied_values_and_leaves_nothing(place: InMemory) -> None:
    publish(place, V[1])
    publish(place, V[2])
    place.open().mark("it", V[1], retired=place.open().versions("it").all[0].created)
    stored, specs = set(place.named()), list[dict[str, Any]]()

    def runs(spec: dict[str, Any]) -> Outcome:
        specs.append(spec)
        return Outcome(out=b"published\n", err=b'{"operation": "read"}\n')

    place.engine.outcome = runs
    word = new_password()
    assert run_job(place, "put", "it", supplied_value=Value({"password": word})) == (
        *(ExitCode.DONE, b"published\n", b'{"operation": "read"}\n'),
    )
    (spec,) = specs
    container = spec["TaskTemplate"]["ContainerSpec"]
    files = {one["SecretName"]: one["File"]["Name"] for one in container["Secrets"]}
    supplied = files.keys() - stored
    assert stored == {name for name, file in files.items() if name == file}
    assert [json.loads(place.engine.texts[name]) for name in supplied] == [{"password": word}]
    assert all(one["File"]["Mode"] == 0o400 and one["File"]["UID"] == "0" for one in container["Secrets"])
    assert (container["Command"], container["Args"]) == (list(ENTRYPOINT), ["put", "it"])
    assert [one["File"]["Name"] for one in container["Configs"]] == [MANIFEST_FILE]
    assert (container["ReadOnly"], container["CapabilityDrop"]) == (True, ["ALL"])
    assert container["Mounts"][0] == {"Type": "bind", "Source": "/run/mine.sock", "Target": job.SOCKET}
    assert spec["TaskTemplate"]["Placement"]["Constraints"] == [f"node.id=={NODE}"]
    assert spec["TaskTemplate"]["RestartPolicy"] == {"Condition": "none"}
    assert word not in json.dumps(specs)
    assert left(place) == []
    assert set(place.named()) == stored


def test_a_secret_that_somebody_attached_by_hand_travels_too(place: InMemory) -> None:
    value, specs = publish(place, V[1]), list[dict[str, Any]]()
    place.edit(value["password"], "of-another")

    def runs(spec: dict[str, Any]) -> Outcome:
        specs.append(spec)
        return Outcome()

    place.engine.outcome = runs
    assert run_job(place, "tick")[0] == ExitCode.DONE
    (entry,) = (one for one in place.listed() if "-mine-" in one["SecretName"])
    attached = specs[0]["TaskTemplate"]["ContainerSpec"]["Secrets"]
    assert entry["SecretID"] in {one["SecretID"] for one in attached}


def test_versions_that_a_rotation_is_making_are_not_swept_by_a_command_that_ends(place: InMemory) -> None:
    """A secret with a number that the config has not assigned yet belongs to another rotation."""
    publish(place, V[1])
    with place.open().lease("another rotation"):
        state = place.open()._client.read()
        labels = {SWARM_INSTANCE: place.name, "coreflux-mcp-secrets.config": state.id}
        labels |= {"coreflux-mcp-secrets.secret": "it", "coreflux-mcp-secrets.number": "0"}
        place.api.create("secrets", {"Name": f"{place.name}-it-v0", "Labels": labels, "Data": encoded(b"x")})
        assert run_job(place, "tick")[0] == ExitCode.DONE
        assert f"{place.name}-it-v0" in place.named()
    assert run_job(place, "tick")[0] == ExitCode.DONE
    assert f"{place.name}-it-v0" not in place.named()


@pytest.mark.parametrize("code", [ExitCode.FAILED, ExitCode.ATTENTION, ExitCode.BUSY])
def test_a_command_ends_as_its_task_does(place: InMemory, code: ExitCode) -> None:
    place.engine.outcome = lambda _spec: Outcome(state="failed", code=int(code), error="task: non-zero exit")
    assert run_job(place, "tick")[0] == code
    assert left(place) == []


def test_interrupted_job_signals_its_task_and_prints_its_end(place: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "STOP_SECONDS", 0)
    place.engine.outcome = lambda _spec: Outcome(state="running", err=b"stopped\n")
    output = io.BytesIO()
    with (
        pytest.raises(KeyboardInterrupt),
        tasks_of(place, err=output).running(payload_of(manifest_of(place), None), ("tick",)),
    ):
        raise KeyboardInterrupt
    assert place.engine.interrupted
    assert output.getvalue() == b"stopped\n"
    assert left(place) == []


def leave(place: InMemory, *, state: str = "", err: bytes = b"") -> None:
    """Leave what a command leaves when it is killed: after it has created a service, whose task is in `state`, or
    before."""
    name = f"{place.name}-task-{state or 'none'}"
    labels = {SWARM_INSTANCE: place.name, TASK: name}
    id = place.api.create("secrets", {"Name": f"{name}-0", "Labels": labels, "Data": encoded(b"supplied")})
    if state:
        place.engine.outcome = lambda _spec: Outcome(state=state, err=err)
        entry = {"SecretID": id, "SecretName": f"{name}-0", "File": {"Name": "supplied"}}
        template = {"ContainerSpec": {"Image": "x", "Secrets": [entry]}}
        spec = {"Name": name, "Labels": labels, "TaskTemplate": template, "Mode": {"ReplicatedJob": {}}}
        place.api.create("services", spec)


@pytest.mark.parametrize("state", ["", "pending", "complete"])
def test_leftovers_of_a_killed_starter_are_removed_when_abandoned(place: InMemory, state: str) -> None:
    leave(place, state=state, err=b'{"operation": "read"}\n')
    tasks_of(place).remove_leftovers()
    assert left(place), "somebody may be waiting for it"
    output = io.BytesIO()
    waits = {"complete": {"max_follow": -timedelta(seconds=2)}}.get(state, {"max_start": -timedelta(seconds=2)})
    tasks_of(place, err=output, **waits).remove_leftovers()
    tasks_of(place, max_start=-timedelta(seconds=2)).remove_leftovers()
    assert left(place) == []
    assert output.getvalue() == (b'{"operation": "read"}\n' if state == "complete" else b""), (
        "nobody else has the records"
    )
