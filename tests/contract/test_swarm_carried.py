"""Commands carried into a real Swarm: the project's own image, a real mosquitto, and nothing left afterwards."""

from __future__ import annotations

import io
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from secretops.access import this_actor
from secretops.errors import ExitCode
from secretops.manifest import Manifest, SwarmFile, SwarmStore
from secretops.values import Value
from tests.contract.swarm_place import InSwarm, until
from tests.real.launcher_image import load_launcher_image
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.stack import DEADLINE, log_in, make_catalogue
from tests.real.swarm import BROKER_HOST, Swarm

if TYPE_CHECKING:  # where the extra is not installed, these tests skip
    from secretops.operations.tasks import Tasks

pytestmark = [pytest.mark.real, pytest.mark.slow]

FILES = {"username": SwarmFile(name="mqtt_user"), "password": SwarmFile(name="mqtt_password")}


@dataclass(frozen=True)
class Carried:
    """A stack in the Swarm, and its operator's command line on this machine."""

    place: InSwarm
    manifest: Manifest
    file: Path
    broker: Mosquitto

    def tasks(self, **more: Any) -> Tasks:
        """What carries its commands, for a look from this process."""
        from secretops.operations.tasks import Tasks

        socket = self.place.environment["DOCKER_HOST"].removeprefix("unix://")
        return Tasks(self.location, self.place.new_api(), socket=socket, **more)

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "secretops", *arguments, "--manifest", str(self.file)]
        pipe = subprocess.PIPE
        environment = {**os.environ, **self.place.environment}
        return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=environment)

    def run(self, *arguments: str, given: Mapping[str, str] | None = None) -> tuple[int, str, str]:
        """Exit code, standard output and standard error."""
        process = self.start(*arguments)
        out, err = process.communicate(json.dumps(dict(given)) if given else "", timeout=DEADLINE * 3)
        return process.returncode, out, err

    @property
    def location(self) -> SwarmStore:
        assert isinstance(self.manifest.store, SwarmStore)
        return self.manifest.store

    def delivered(self) -> Value:
        """What the server's container has."""
        (task,) = self.place.settled()
        files = self.place.files(task["Status"]["ContainerStatus"]["ContainerID"])
        return Value({field: files[file.name] for field, file in FILES.items()})

    def carrying(self) -> list[dict[str, Any]]:
        """The services that commands are in, and what was made for them."""
        found = [self.place.api.get(f"/{kind}", label=["coreflux-mcp-secrets.task"]) or [] for kind in KINDS]
        return [each for listed in found for each in listed if each["Spec"]["Name"].startswith(self.place.name)]


KINDS = ("services", "secrets", "configs")


@dataclass(frozen=True)
class Parts:
    """What all tests share: the image, a broker, and the network that leads to it."""

    image: str
    broker: Mosquitto
    network: str


@pytest.fixture(scope="module")
def parts(swarm: Swarm, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Parts]:
    image, network = load_launcher_image(swarm.docker), f"net-{secrets.token_hex(3)}"
    swarm.docker.tell("network", "create", "--driver", "overlay", network)
    broker = start_mosquitto(tmp_path_factory.mktemp("mosquitto"), also=(BROKER_HOST,))
    swarm.lead_to(broker.port)
    yield Parts(image, broker, network)
    broker.stop()


@pytest.fixture
def carried(parts: Parts, tmp_path: Path, request: pytest.FixtureRequest) -> Carried:
    place = InSwarm(InSwarm.fresh(request, tmp_path / "place"))
    location = place.location.model_copy(
        update={"delivered": {"mqtt": FILES}, "image": parts.image, "networks": (parts.network,)}
    )
    catalogue = make_catalogue((f"{place.name}-a", f"{place.name}-b"))
    manifest = Manifest(
        project="coreflux-mcp-secrets",
        stack=place.name,
        store=location,
        broker=parts.broker.broker().model_copy(update={"host": BROKER_HOST}),
        secrets=catalogue,
        grace_seconds=1,
    )
    file = tmp_path / "secretops.json"
    file.write_text(manifest.model_dump_json())
    return Carried(place, manifest, file, parts.broker)


def test_put_tick_and_rotate_run_as_tasks_that_have_the_values_and_leave_nothing(carried: Carried) -> None:
    code, out, err = carried.run("put", "broker-admin", given=carried.broker.admin)
    assert code == ExitCode.DONE, err
    assert "broker-admin: logged in, published as " in out
    code, out, err = carried.run("tick")
    assert code == ExitCode.DONE, out + err
    first = carried.delivered()
    assert log_in(carried.broker.broker(), first) == "Success"
    records = [json.loads(line) for line in err.splitlines() if line.startswith("{")]
    kinds = {(one["operation"], one["secret"], one["purpose"]) for one in records if "actor" in one}
    assert {("write", "mqtt", "publish"), ("read", "broker-admin", "act as broker admin")} <= kinds
    assert {one["actor"] for one in records if "actor" in one} == {this_actor("rotator")}, "whoever started it"
    code, out, err = carried.run("rotate", "mqtt", "--json")
    assert code == ExitCode.DONE, err
    second, current = carried.delivered(), json.loads(out)
    assert second["username"] == current["user"] != first["username"]
    assert log_in(carried.broker.broker(), second) == "Success"
    code, out, err = carried.run("status", "--json")
    assert code == ExitCode.DONE, out + err
    assert {one["standing"] for one in json.loads(out)} <= {"verified", "waiting", "current"}
    assert carried.carrying() == []
    assert len([each for each in carried.place.named() if "-mqtt-v" in each]) == 6, "two versions of two fields"
    code, out, err = carried.run("tick")
    assert (code, "mqtt: retired" in out) == (ExitCode.DONE, True), out + err
    assert len([each for each in carried.place.named() if "-mqtt-v" in each]) == 3, "none waits for a later tick"


def test_a_compromise_runs_as_a_task_and_its_incident_is_kept_where_it_was_asked_for(
    carried: Carried, tmp_path: Path
) -> None:
    """Killed on its way, it is gone on with from the file: the task ends what it is at by itself."""
    assert carried.run("put", "broker-admin", given=carried.broker.admin)[0] == ExitCode.DONE
    assert carried.run("tick")[0] == ExitCode.DONE
    old, folder = carried.delivered(), tmp_path / "incidents"
    folder.mkdir()
    command = ("compromise", "mqtt", "--yes", "--to", str(folder))
    began = time.monotonic()
    process = carried.start(*command)
    until(lambda: log_in(carried.broker.broker(), old) != "Success")
    refused = time.monotonic() - began
    process.kill()
    process.communicate()
    code, out, err = carried.run(*command)
    while code == ExitCode.BUSY:  # the first task is at it still
        code, out, err = carried.run(*command)
    assert code == ExitCode.ATTENTION, out + err
    assert "left to do: find out who read it" in out, "nobody keeps docker's events"
    (path,) = folder.glob("incident-mqtt-*.json")
    incident = json.loads(path.read_text())
    assert incident["ended"]
    assert set(incident["left"]) <= {"trail", "proof"}
    new = carried.delivered()
    assert log_in(carried.broker.broker(), new) == "Success"
    assert log_in(carried.broker.broker(), old) != "Success"
    for value in (old, new):
        assert value["password"] not in out + err + path.read_text() + path.with_suffix(".md").read_text()
    records = tmp_path / "records"
    records.write_text("".join(f"{line}\n" for line in err.splitlines() if line.startswith("{")))
    code, out, err = carried.run(*command, "--trail", str(records))
    assert code == ExitCode.DONE, out + err
    assert " accesses of " in out, "the records of the go before"
    assert log_in(carried.broker.broker(), new) != "Success"
    assert log_in(carried.broker.broker(), carried.delivered()) == "Success"
    print(f"swarm: refused {refused:.1f} s after the command began")


def test_who_is_interrupted_takes_the_task_along(carried: Carried) -> None:
    assert carried.run("put", "broker-admin", given=carried.broker.admin)[0] == ExitCode.DONE
    process = carried.start("tick")
    assert process.stderr
    first = process.stderr.readline()
    assert '"operation"' in first, "it is at work"
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == ExitCode.FAILED
    assert err.count("stopped; what was begun is finished by the next tick") == 2, "the task's own last word, too"
    assert carried.carrying() == []


def test_what_a_killed_starter_left_ends_by_itself_and_the_next_one_removes_it(carried: Carried) -> None:
    assert carried.run("put", "broker-admin", given=carried.broker.admin)[0] == ExitCode.DONE
    process = carried.start("tick")
    until(lambda: [each for each in carried.carrying() if "TaskTemplate" in each["Spec"]])
    process.kill()
    process.communicate()
    said = io.BytesIO()
    tasks = carried.tasks(err=said, followed=timedelta())

    def nothing_is_left() -> bool:
        tasks.clean()
        return not carried.carrying()

    until(nothing_is_left)
    records = [json.loads(line) for line in said.getvalue().decode().splitlines() if line.startswith("{")]
    assert ("read", "broker-admin") in {(one.get("operation"), one.get("secret")) for one in records}
    first = carried.delivered()
    assert log_in(carried.broker.broker(), first) == "Success"
    assert carried.run("tick")[0] == ExitCode.DONE
    assert carried.delivered() == first
