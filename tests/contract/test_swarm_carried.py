"""Commands carried into a real Swarm: the project's own image, a real mosquitto, and nothing left afterwards."""

from __future__ import annotations

import base64
import http.server
import io
import json
import os
import secrets
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import pytest
from cryptography import x509

from secretops.access import this_actor
from secretops.errors import ExitCode
from secretops.manifest import Manifest, SecretKind, SwarmFile, SwarmStore
from secretops.operations.load import load_of
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.contract.swarm_place import InSwarm, until
from tests.real.launcher_image import load_launcher_image
from tests.real.mosquitto import Mosquitto, start_mosquitto
from tests.real.own_ca import certified
from tests.real.stack import DEADLINE, log_in, make_catalogue
from tests.real.swarm import BROKER_HOST, Swarm

if TYPE_CHECKING:  # where the extra is not installed, these tests skip
    from secretops.operations.tasks import Tasks

pytestmark = pytest.mark.real

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

TRIES = 3
"""How often what the daemon does not start is."""


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


def test_put_tick_and_rotate_run_as_tasks_that_have_the_values_and_leave_nothing(
    carried: Carried, monkeypatch: pytest.MonkeyPatch
) -> None:
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

    # a task that somebody else's rotation overtook: started before, it has none of what that made
    said = io.BytesIO()
    overtaken = carried.tasks(out=io.BytesIO(), err=said)
    older = [entry for entry in overtaken._attached() if "-mqtt-" not in entry["SecretName"]]
    monkeypatch.setattr(overtaken, "_attached", lambda: older)
    with overtaken.running(load_of(carried.manifest, None), ("tick", "--scheduled")) as job:
        assert job.follow() == ExitCode.DONE, said.getvalue()
    assert "was made after this task was started" in said.getvalue().decode()
    assert carried.delivered() == second


def test_a_ca_of_the_stacks_own_is_made_in_a_task_and_trust_prints_its_certificate_alone(
    carried: Carried, tmp_path: Path
) -> None:
    carried.file.write_text(
        carried.manifest.model_copy(update={"secrets": certified(carried.manifest)}).model_dump_json()
    )
    code, out, err = carried.run("rotate", "client-ca")
    assert code == ExitCode.DONE, out + err
    code, printed, err = carried.run("trust")
    assert code == ExitCode.DONE, err
    (authority,) = x509.load_pem_x509_certificates(printed.encode())
    assert printed.startswith("-----BEGIN CERTIFICATE-----") and "PRIVATE" not in printed + err
    code, out, err = carried.run("trust", "--to", str(tmp_path / "clients"))
    assert code == ExitCode.DONE, err
    (laid,) = (tmp_path / "clients").iterdir()
    assert x509.load_pem_x509_certificate(laid.read_bytes()) == authority
    assert carried.carrying() == []


def test_a_password_that_somebody_changed_is_told_by_doctor_and_mended_by_a_task(carried: Carried) -> None:
    assert carried.run("put", "broker-admin", given=carried.broker.admin)[0] == ExitCode.DONE
    assert carried.run("tick")[0] == ExitCode.DONE
    before = carried.delivered()
    changed = Value({"username": before["username"], "password": new_password()})
    open_target(carried.broker.broker(), SecretKind.MQTT_USER).apply(carried.broker.admin, changed)
    assert carried.run("tick")[0] == ExitCode.FAILED
    code, out, _ = carried.run("doctor", "--repair", "--yes", "--json")
    said = json.loads(out)  # what the task prints goes elsewhere
    (found,) = (one for one in said["found"] if one["check"] == "secret mqtt")
    assert f"the broker refuses user {before['username']}" in found["value"]
    assert [one["repair"].partition(":")[0] for one in said["repairs"] if one["done"]] == ["secretops rotate mqtt"]
    (now,) = (one for one in said["now"] if one["check"] == "secret mqtt")
    assert (code, now["level"]) == (ExitCode.DONE, "ok"), said["now"]
    after = carried.delivered()
    assert after["username"] != before["username"] and log_in(carried.broker.broker(), after) == "Success"


def test_no_value_is_in_what_a_daemon_shows_or_a_command_prints(carried: Carried) -> None:
    process = carried.start("put", "broker-admin")
    assert process.stdin
    process.stdin.write(json.dumps(dict(carried.broker.admin)))
    process.stdin.close()
    shown, pause = "", threading.Event()
    while process.poll() is None:
        pause.wait(0.2)
        for each in carried.carrying():
            shown += json.dumps(each)
        shown += json.dumps([carried.place.tasks(each["ID"]) for each in carried.carrying()[:1]])
    assert process.stdout
    assert process.stderr
    shown += process.stdout.read() + process.stderr.read() + json.dumps(carried.place.api.get("/configs"))
    assert f"{carried.place.name}-task-" in shown
    assert carried.broker.admin["password"] not in shown


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


def test_how_the_task_ends_is_how_the_command_ends(carried: Carried) -> None:
    code, out, err = carried.run("put", "broker-admin", given={**carried.broker.admin, "password": new_password()})
    assert code == ExitCode.FAILED
    assert "->" in err
    assert out == ""
    code, _, err = carried.run("rotate", "mqtt")
    assert (code, "secretops put broker-admin" in err) == (ExitCode.WAITING, True), err
    assert carried.run("tick", "--scheduled")[0] == ExitCode.DONE, "it waits for its first value, too"
    assert carried.carrying() == []


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


@pytest.fixture
def without_python(carried: Carried, swarm: Swarm, tmp_path: Path) -> tuple[Carried, str]:
    """The stack with an image in which nothing can be run, and that image's name."""
    archive, image = tmp_path / "empty.tar", f"coreflux-mcp-empty:{secrets.token_hex(3)}"
    tarfile.open(archive, "w").close()
    swarm.docker.tell("import", str(archive), image)
    store = carried.location.model_copy(update={"image": image})
    manifest = carried.manifest.model_copy(update={"store": store})
    file = tmp_path / "empty.json"
    file.write_text(manifest.model_dump_json())
    return replace(carried, manifest=manifest, file=file), image


def test_a_task_whose_container_the_daemon_does_not_start_is_started_again(
    without_python: tuple[Carried, str], parts: Parts, swarm: Swarm
) -> None:
    """As Docker does not start some that have secrets (moby/moby, issue 48783): here, until the image is another."""
    carried, image = without_python
    process = carried.start("put", "broker-admin")
    assert process.stdin
    assert process.stderr
    process.stdin.write(json.dumps(dict(carried.broker.admin)))
    process.stdin.close()
    told = process.stderr.readline()
    swarm.docker.tell("tag", parts.image, image)
    assert "starting container failed" in told
    assert "nothing was begun, it is started again" in told
    rest = process.stderr.read()
    assert process.wait(DEADLINE) == ExitCode.DONE, rest
    assert carried.carrying() == []


def test_one_that_the_daemon_never_starts_is_told_and_leaves_nothing(without_python: tuple[Carried, str]) -> None:
    carried, _ = without_python
    code, out, err = carried.run("put", "broker-admin", given=carried.broker.admin)
    assert code == ExitCode.FAILED
    assert err.count("it is started again") == TRIES - 1
    assert "starting container failed" in err.splitlines()[TRIES - 1]
    assert carried.broker.admin["password"] not in out + err
    assert carried.carrying() == []


class Registry(http.server.BaseHTTPRequestHandler):
    """Stands in for a registry behind a login, without an image: shows what a node logs in with, and no pull."""

    asked_as: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        if login := self.headers.get("Authorization"):
            self.asked_as.append(base64.b64decode(login.removeprefix("Basic ")).decode())
        self.send_response(404 if login else 401)
        self.send_header("WWW-Authenticate", 'Basic realm="here"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_HEAD(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


def test_an_image_is_asked_for_with_the_operators_login_and_one_that_is_not_there_is_told(
    carried: Carried, swarm: Swarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    login, name = f"us:{new_password()}", "private/none:1"
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry) as registry:
        threading.Thread(target=registry.serve_forever, daemon=True).start()
        host = f"127.0.0.1:{swarm.lead_to(registry.server_port)}"
        auth = {"auth": base64.b64encode(login.encode()).decode()}
        (tmp_path / "config.json").write_text(json.dumps({"auths": {host: auth}}))
        store = carried.location.model_copy(update={"image": f"{host}/{name}"})
        other = replace(carried, file=tmp_path / "other.json")
        other.file.write_text(carried.manifest.model_copy(update={"store": store}).model_dump_json())
        code, _, err = other.run("tick")
        registry.shutdown()
    assert code == ExitCode.FAILED
    assert f"{host}/{name}" in err
    assert login in Registry.asked_as
    assert login.removeprefix("us:") not in err
    assert carried.carrying() == []


def test_a_manager_that_takes_no_task_is_told_before_anything_is_made(carried: Carried) -> None:
    (node,) = carried.place.api.get("/nodes")
    carried.place.docker("node", "update", "--availability", "pause", node["ID"])
    try:
        code, _, err = carried.run("tick")
    finally:
        carried.place.docker("node", "update", "--availability", "active", node["ID"])
    assert code == ExitCode.FAILED
    assert "takes no task: its availability is pause" in err
    assert "docker node update --availability active" in err
    assert carried.carrying() == []


def test_what_never_started_and_a_value_that_no_task_came_for_are_removed_in_time_or_by_a_purge(
    carried: Carried,
) -> None:
    def leave() -> None:
        """As somebody who was killed: once after the service was made, on a node that takes none, once before."""
        for at, service in enumerate((True, False)):
            name = f"{carried.place.name}-task-{at}"
            labels = {"coreflux-mcp-secrets.instance": carried.place.name, "coreflux-mcp-secrets.task": name}
            spec = {"Name": f"{name}-0", "Labels": labels, "Data": base64.b64encode(b"given").decode()}
            id = carried.place.api.create("secrets", spec)
            file = {"Name": "given", "UID": "0", "GID": "0", "Mode": 0o400}
            container = {
                "Image": carried.location.image,
                "Secrets": [{"SecretID": id, "SecretName": f"{name}-0", "File": file}],
            }
            template = {"ContainerSpec": container, "Placement": {"Constraints": ["node.id==none"]}}
            if service:
                mode = {"ReplicatedJob": {"MaxConcurrent": 1, "TotalCompletions": 1}}
                spec = {"Name": name, "Labels": labels, "TaskTemplate": template, "Mode": mode}
                carried.place.api.create("services", spec)

    def cleaned() -> bool:
        carried.tasks(begun=timedelta()).clean()
        return not carried.carrying()

    leave()
    carried.tasks().clean()
    assert len(carried.carrying()) == 3, "somebody may be waiting for it"
    until(cleaned)
    leave()
    code, _, err = carried.run("purge")
    assert (code, len(carried.carrying())) == (ExitCode.DONE, 3), err
    code, _, err = carried.run("purge", "--destroy", "--yes")
    assert (code, carried.carrying()) == (ExitCode.DONE, []), err


def test_the_brokers_ca_that_is_not_on_this_machine_is_told_before_anything_is_made(carried: Carried) -> None:
    broker = carried.manifest.broker.model_copy(update={"ca_file": "/nowhere/ca.crt"})
    carried.file.write_text(carried.manifest.model_copy(update={"broker": broker}).model_dump_json())
    code, _, err = carried.run("tick")
    assert (code, "/nowhere/ca.crt" in err) == (ExitCode.USAGE, True), err


def test_the_rotator_carries_a_tick_tells_how_it_went_and_ends_when_it_is_told_to(carried: Carried) -> None:
    environment = {**os.environ, **carried.place.environment, "SECRETOPS_MANIFEST": str(carried.file)}
    command = [sys.executable, "-m", "secretops.entrypoints.rotator"]
    rotator = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert rotator.stdout
    assert "secretops put" in rotator.stdout.readline()
    until(lambda: not carried.carrying())
    rotator.send_signal(signal.SIGTERM)
    rotator.communicate(timeout=DEADLINE)
    assert rotator.returncode == ExitCode.DONE
    assert carried.carrying() == []
