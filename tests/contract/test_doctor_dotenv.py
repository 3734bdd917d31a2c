"""`secretops doctor` on a folder and a real broker: its findings, its repairs, and what it never does."""

import json
import shutil
import socket
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from secretops.check import Level, Result
from secretops.engine.state import Stage, Version
from secretops.operations.doctor import checks, doctor, repairs, run_repair
from secretops.operations.status import Status, status
from secretops.stores import files
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.contract.doctor_fault import Fault, prove, reported
from tests.real.embedded import Embedded, start_embedded
from tests.real.mosquitto import Mosquitto
from tests.real.stack import Stack, make_stack

pytestmark = pytest.mark.real


@dataclass
class Folder:
    stack: Stack
    mosquitto: Mosquitto

    def look(self) -> dict[str, Result]:
        return dict(doctor(checks(self.stack.session())))

    @property
    def current(self) -> Version:
        found = self.stack.session().store.versions("mqtt").current
        assert found
        return found

    def set_password(self, name: str) -> None:
        user = self.stack.credential(name)["username"]
        changed = Value({"username": user, "password": new_password()})
        target = open_target(self.stack.manifest.broker, self.stack.manifest.secret(name).kind)
        target.apply(self.mosquitto.admin, changed)


@pytest.fixture
def folder(mosquitto: Mosquitto, tmp_path: Path) -> Folder:
    stack = make_stack(tmp_path / "store", mosquitto.broker(), grace_seconds=1)
    stack.put("broker-admin", mosquitto.admin)
    stack.put("agent-key", {"api-key": new_password()})
    for _ in range(2):
        stack.rotate()
        stack.skip_grace()
        assert [one.error for one in stack.tick()] == [None] * 4
    return Folder(stack, mosquitto)


def wrong(found: dict[str, Result]) -> dict[str, str]:
    return {name: reported(result) for name, result in found.items() if result.level is not Level.OK}


def test_stack_after_ticks_is_healthy_and_unchanged(folder: Folder) -> None:
    before = {path: path.read_bytes() for path in (folder.stack.root / "versions").rglob("*.json")}
    found = folder.look()
    assert wrong(found) == {}
    assert found["login mqtt"].value == f"user {folder.current.user} logs in"
    assert {path: path.read_bytes() for path in (folder.stack.root / "versions").rglob("*.json")} == before


def open_the_folder(folder: Folder) -> None:
    folder.stack.root.chmod(0o755)
    folder.stack.env.chmod(0o644)
    (folder.stack.root / "versions" / "mqtt" / "state.json").chmod(0o660)


def leave_pending(folder: Folder) -> None:
    then = datetime.now(UTC) - timedelta(hours=3)
    idle = next(user for user in folder.stack.manifest.secret("mqtt").users if user != folder.current.user)
    version = Version(id=f"{then:%Y%m%dT%H%M%SZ}-left", stage=Stage.PENDING, created=then, user=idle)
    folder.stack.session().store.add("mqtt", version, Value({"username": idle, "password": new_password()}))


def change_the_servers_password(folder: Folder) -> None:
    folder.set_password("mqtt")


def change_the_admins_password(folder: Folder) -> None:
    folder.stack.rotate("broker-admin")
    folder.set_password("broker-admin")


def leave_undelivered(folder: Folder) -> None:
    state = folder.stack.root / "versions" / "agent-key" / "state.json"
    folder.stack.put("agent-key", {"api-key": new_password()})
    versions = json.loads(state.read_text())
    versions[-1]["published"] = None
    state.write_text(json.dumps(versions))
    lines = folder.stack.env.read_text().splitlines()
    folder.stack.env.write_text("\n".join(line for line in lines if "AGENT" not in line) + "\n")


def lose_the_values(folder: Folder) -> None:
    shutil.rmtree(folder.stack.root / "versions" / "mqtt")
    (mqtt,) = [one for one in status(folder.stack.session()) if one.name == "mqtt"]
    assert (mqtt.status, len(mqtt.notes)) == (Status.ATTENTION, 1)


def run(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    return folder.stack.run("doctor", *arguments)


@pytest.mark.slow
def test_doctor_lists_repairs_runs_them_on_request_and_checks_again(folder: Folder) -> None:
    leave_pending(folder)
    edit_another(folder)
    open_the_folder(folder)
    shown = {one["check"]: one["repair"] for one in json.loads(run(folder, "--json").stdout)["checks"]}
    assert {name for name, words in shown.items() if words} == {"folder", "secret mqtt"}
    done = json.loads(run(folder, "--repair", "--yes", "--json").stdout)
    assert set(done) == {"schema", "found", "repairs", "now"}
    chmod, tick = done["repairs"]
    assert chmod["done"] and chmod["error"] is None
    assert tick["done"] is None and "agent-key" in tick["error"], "what a person changed is not overwritten"
    now = {one["check"]: one for one in done["now"]}
    assert [name for name, one in now.items() if one["level"] != "ok"] == ["secret agent-key"]
    assert now["secret agent-key"]["repair"] is None


def edit_another(folder: Folder) -> None:
    text = folder.stack.env.read_text()
    before = next(line for line in text.splitlines() if line.startswith("DO_AGENT_API_KEY"))
    folder.stack.env.write_text(text.replace(before, "DO_AGENT_API_KEY=typed-by-hand"))


def test_another_process_at_the_address_of_the_embedded_broker_is_reported(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        broker = Embedded(tmp_path / "store" / "broker", other.getsockname()[1], Value({})).broker()
        stack = make_stack(tmp_path / "store", broker, grace_seconds=1)
        found = dict(doctor(checks(stack.session())))
    assert found["broker"].level is Level.ATTENTION and "make down in that clone" in found["broker"].remedy
    assert found["broker"].repair is None and found["login mqtt"].level is Level.UNKNOWN


@pytest.mark.slow
def test_an_embedded_broker_that_does_not_run_is_started(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir(files.FOLDER)
    broker = start_embedded(tmp_path / "store")
    stack = make_stack(tmp_path / "store", broker.broker(), grace_seconds=1)
    stack.put("broker-admin", broker.admin)
    stack.rotate()
    broker.stop()
    try:
        found = dict(doctor(checks(stack.session())))
        assert found["broker"].level is Level.ATTENTION and found["login mqtt"].level is Level.UNKNOWN
        (repair,) = repairs(list(found.items()))
        assert repair.description == "secretops broker start" and "listens at" in str(run_repair(repair))
        assert wrong(dict(doctor(checks(stack.session())))) == {}
    finally:
        broker.stop()


TICK, ROTATE = "secretops tick", "secretops rotate mqtt"


def link(part: Path) -> None:
    """Move a part of the store away, and leave a symbolic link to it, as for a shared folder."""
    shared = part.parents[2] / f"shared{part.name}"
    part.rename(shared)
    part.symlink_to(shared)


def link_the_env(folder: Folder) -> None:
    link(folder.stack.env)
    folder.stack.env.chmod(0o644)


def link_the_versions(folder: Folder) -> None:
    link(folder.stack.root / "versions")


FAULTS: tuple[Fault[Folder], ...] = (
    Fault(open_the_folder, "folder", ("store has mode 755", ".env has mode 644", "mode 660"), "chmod"),
    Fault(link_the_env, "folder", (".env is a symbolic link",)),
    Fault(link_the_versions, "folder", ("versions is a symbolic link",)),
    Fault(change_the_servers_password, "login mqtt", ("the broker refuses user", "find out who"), ROTATE),
    Fault(change_the_admins_password, "login broker-admin", ("refuses user", "secretops put broker-admin")),
    Fault(leave_undelivered, "secret agent-key", ("not delivered",), TICK),
    Fault(lose_the_values, "secret mqtt", ("lost-store.md",)),
)


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_planted_fault_is_found_and_repaired_where_possible(fault: Fault[Folder], folder: Folder) -> None:
    prove(fault, folder)
