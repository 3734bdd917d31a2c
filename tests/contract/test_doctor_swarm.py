"""`secretops doctor` on a stack in a Swarm in memory: each check is OK on a healthy stack, and reports its planted
fault."""

from datetime import timedelta
from pathlib import Path

import pytest
import requests

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.check import Level, Result
from secretops.errors import ExitCode, LeaseHeldError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, Reader, Secret, SecretKind
from secretops.operations.doctor import checks, doctor, exit_code, run_repair
from secretops.operations.session import Session
from secretops.platforms.swarm.checks import lease, manager
from secretops.platforms.swarm.checks.manager import Manager
from secretops.platforms.swarm.job import ENTRYPOINT, TASK
from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.stores.lease import Timing
from tests.contract.swarm_place import FILES, InSwarm
from tests.contract.versions import NOW, make, publish, version
from tests.unit.memory_swarm import InMemory, V, in_memory, lead_to, quick


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    quick(monkeypatch)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> InMemory:
    """Return a Swarm with one secret that was published twice, as a tick leaves it. Every `Api` connects to it."""
    place = in_memory(tmp_path)
    lead_to(place, monkeypatch)
    for name in V[1:3]:
        publish(place, name)
    return place


def manifest_of(place: InSwarm) -> Manifest:
    it = Secret(name="it", kind=SecretKind.SUPPLIED, fields=tuple(FILES), readers=(Reader.SERVER,), cadence_days=3660)
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="nowhere", port=1, protocol=MqttProtocol.V5, tls=True)
    return Manifest(
        project="coreflux-mcp-secrets", stack=place.name, store=place.location, broker=broker, secrets=(it,),
        grace_seconds=30,
    )  # fmt: skip


def examined(place: InMemory) -> dict[str, Result]:
    return dict(doctor(checks(Session.open(manifest_of(place), role="operator"))))


def wrong(place: InMemory) -> dict[str, Result]:
    return {name: result for name, result in examined(place).items() if result.level is not Level.OK}


def test_stack_after_a_tick_is_healthy(place: InMemory) -> None:
    found = examined(place)
    assert {name: result for name, result in found.items() if result.level is not Level.OK} == {}
    assert exit_code(list(found.items())) is ExitCode.DONE
    assert "on the same disk" in found["encryption at rest"].value, "it reports where the key is"
    assert list(found)[-2:] == ["secret it", "orphaned values"]


@pytest.mark.parametrize(("engine", "level"), [
    *(("20.10.23", Level.ATTENTION), ("20.10.24+dfsg1", Level.OK), ("23.0.2", Level.ATTENTION)),
    *(("23.0.3", Level.OK), ("28.5.1", Level.OK), ("unreleased", Level.UNKNOWN)),
])  # fmt: skip
def test_docker_with_a_broken_encrypted_network_is_reported(
    engine: str, level: Level, place: InMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = place.engine._node()
    node["Description"]["Engine"]["EngineVersion"] = engine
    monkeypatch.setattr(type(place.engine), "_node", lambda _: node)
    assert examined(place)["docker"].level is level


def test_missing_service_and_stopped_replica_are_reported(place: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    place.remove_service()
    assert wrong(place)["server"].value == f"no service {place.name}"
    monkeypatch.setattr(type(place.engine), "_start", lambda *_: None)
    place.make_service()
    found = wrong(place)
    assert "of 1 replica runs" in found["server"].value
    assert found["secret it"].value == "not delivered: secretops tick"


def test_leftover_secret_and_undeclared_reader_are_reported(place: InMemory) -> None:
    entries = place.listed()
    spec = {"Name": f"{place.name}-other", "TaskTemplate": {"ContainerSpec": {"Image": "x", "Secrets": entries}}}
    place.api.create("services", {**spec, "Mode": {"Replicated": {"Replicas": 0}}})
    try:
        found = wrong(place)
        assert set(found) == {"readers"}
        assert f"service {place.name}-other " in found["readers"].value
        assert "secretops rotate it" in found["readers"].remedy
        for name in V[3:5]:
            store = place.open()
            store.add("it", version(name), make())
            store.publish("it", name, NOW)
        orphaned = wrong(place)["orphaned secrets"]
        assert f"-it-v2-password is of a retired version (service {place.name}-other uses it)" in orphaned.value
        assert "docker secret rm" not in orphaned.remedy
        assert orphaned.repair is None, "nothing that a service uses is removed"
    finally:
        place.api.remove("services", f"{place.name}-other")
    orphaned = wrong(place)["orphaned secrets"]
    assert orphaned.repair and orphaned.repair.description.startswith("remove the unused Swarm secrets")
    with place.open().lease("somebody who rotates"):
        held = run_repair(orphaned.repair)
        assert isinstance(held, LeaseHeldError) and "somebody who rotates" in held.what
    run_repair(orphaned.repair)
    assert wrong(place) == {}
    assert not any("-it-v2-" in name for name in place.named())


def test_leftovers_of_a_killed_command_are_reported(place: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    task = f"{place.name}-task-{'0' * 12}"
    labels = {SWARM_INSTANCE: place.name, TASK: task}
    supplied = {"Name": f"{task}-0", "Labels": labels, "Data": "eA=="}
    place.api.create("secrets", supplied)
    assert wrong(place) == {}, "its service may come yet"
    for age in ("MAX_START", "MAX_JOB_AGE"):
        monkeypatch.setattr(manager, age, timedelta(seconds=-10))
    left = wrong(place)["leftover commands"]
    assert left.value == f"secret {task}-0: left by a command that was killed"
    assert left.repair
    run_repair(left.repair)
    assert wrong(place) == {}
    place.api.create("secrets", supplied)
    container = {"Image": place.location.image, "Command": list(ENTRYPOINT), "Secrets": place.listed()}
    spec = {"Name": task, "Labels": labels, "TaskTemplate": {"ContainerSpec": container}}
    place.api.create("services", {**spec, "Mode": {"Replicated": {"Replicas": 0}}})
    try:
        found = wrong(place)
        assert found["leftover commands"].value.startswith(f"service {task}: left")
        assert f"service {task} " in found["readers"].value, "nobody is carried for so long"
        for age in ("MAX_START", "MAX_JOB_AGE"):
            monkeypatch.setattr(manager, age, timedelta(hours=1))
        assert wrong(place) == {}
        disguised = place.api.get(f"/services/{task}")
        disguised["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"] = ["sh"]
        assert place.api.update("services", disguised, disguised["Spec"])
        assert set(wrong(place)) == {"readers"}, "labels make no reader a command of the stack's"
    finally:
        place.api.remove("services", task)


def test_lease_is_reported_with_its_holder_and_status(place: InMemory) -> None:
    def look() -> Result:
        return lease(Manager(place.location, api=place.new_api()), pause=0.1)

    assert look().value == "free"
    with place.open().lease("somebody"):
        assert look().value == "held by somebody, which renews the lease"
    with place.open(timing=Timing(duration=1, renew=1000, poll=0.1)).lease("a dead one"):
        dead = look()
        assert (dead.level, dead.value) == (
            Level.ATTENTION,
            "held by a dead one, which has not renewed the lease for 1 s",
        )
        assert "secretops tick takes over the lease" in dead.remedy


def test_unreachable_daemon_is_reported_and_the_rest_unknown(place: InMemory, monkeypatch: pytest.MonkeyPatch) -> None:
    def away(*_: object, **__: object) -> None:
        raise requests.ConnectionError

    monkeypatch.setattr(place.engine, "request", away)
    found = wrong(place)
    assert found["manager"].level is Level.ATTENTION
    assert found["secret it"].level is Level.UNKNOWN
