"""Behavior of Docker that the Swarm store relies on, on a real Swarm. tests/unit/test_swarm_store.py tests the
store."""

import json
import logging
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")

from secretops.engine.state import Stage
from secretops.errors import ExitCode, StoreError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, Reader, Secret, SecretKind
from secretops.operations.audit import audit
from secretops.values import Value
from tests.contract.swarm_place import FILES, InSwarm
from tests.contract.test_stores import V
from tests.contract.versions import make, publish

pytestmark = [pytest.mark.real, pytest.mark.slow]

FAILS = "grep -qs broken /run/secrets/it_username || exec sleep infinity"  # A server that ends at once with one value.


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> InSwarm:
    return InSwarm(InSwarm.fresh(request, tmp_path))


def test_readers_keep_the_working_version_when_an_update_rolls_back(place: InSwarm) -> None:
    place.remove_service()
    place.make_service(command=("sh", "-c", FAILS), monitor=15)
    place.settled()
    good = publish(place, V[1])
    broken = Value({**make(), "username": "broken"})
    with pytest.raises(StoreError, match=r"\[service-update-failed\]"):
        publish(place, V[2], broken)
    assert place.delivered() == dict(good)
    mended = publish(place, V[3])
    assert place.delivered() == dict(mended)
    assert {one.id: one.stage for one in place.open().versions("it").all} == {V[2]: Stage.PREVIOUS, V[3]: Stage.CURRENT}
    assert place.keeps(good["password"]) == []


def test_delivery_waits_for_an_update_of_others_and_keeps_the_rollback_target(place: InSwarm) -> None:
    place.remove_service()
    place.make_service(monitor=15)
    place.settled()
    publish(place, V[1])
    works = place.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"]
    place.send(lambda spec: spec["TaskTemplate"]["ContainerSpec"].update(Command=["sh", "-c", "sleep 4; exit 1"]))
    value = publish(place, V[2])
    assert place.service()["Spec"]["TaskTemplate"]["ContainerSpec"]["Command"] == works
    assert place.service()["PreviousSpec"]["TaskTemplate"]["ContainerSpec"]["Command"] == works
    assert place.delivered() == dict(value)


def test_replicas_get_new_files_and_no_value_leaks(
    place: InSwarm, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    begin = place.docker("info", "--format", "{{.SystemTime}}").strip()
    place.change(lambda spec: spec["Mode"]["Replicated"].update(Replicas=2))
    value = publish(place, V[1])
    running = [task for task in place.tasks() if task["DesiredState"] == "running"]
    assert len(running) == 2
    for task in running:
        files = place.files(task["Status"]["ContainerStatus"]["ContainerID"])
        assert {field: files[file] for field, file in FILES.items()} == dict(value)
        assert files["it-version"] == V[1]
    assert {(one["File"]["UID"], one["File"]["Mode"]) for one in place.listed()} == {("10001", 0o400)}
    assert "secrets/create" in caplog.text, "it is logged at all"
    listed = [place.api.get(f"/{kind}") for kind in ("configs", "secrets", "services")]
    shown = json.dumps([*listed, place.tasks()])
    assert not any(text in caplog.text + shown for text in value.values())

    end = place.docker("info", "--format", "{{.SystemTime}}").strip()
    file = tmp_path / "events.json"
    file.write_text(place.docker("events", "--since", begin, "--until", end, "--format", "{{json .}}"))
    it = Secret(name="it", kind=SecretKind.SUPPLIED, fields=tuple(FILES), readers=(Reader.SERVER,), cadence_days=90)
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="nowhere", port=1, protocol=MqttProtocol.V5, tls=True)
    manifest = Manifest(project="p", stack="s", store=place.location, broker=broker, secrets=(it,), grace_seconds=30)
    view = audit(manifest, [str(file)])
    counted = {row.operation: row.count for row in view.rows}
    assert counted["secret create"] == 4
    assert counted["exec"] >= 2, "`place.files` looks by one"
    assert view.exit_code is ExitCode.ATTENTION
    assert view.broken == 0
