"""`secretops doctor` on a folder and a real broker: what it finds, what it mends when told to, and what it never does.

Without a broker it is looked at in tests/unit/test_doctor.py.
"""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from secretops.engine.journal import Entry
from secretops.engine.state import Stage, Version
from secretops.errors import ExitCode
from secretops.operations.doctor import checks, doctor, mend, repairs
from secretops.operations.doctor.check import Level, Result
from secretops.operations.status import Standing, status
from secretops.replicas import REPORTS, report_text
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.contract.doctor_fault import Fault, prove, told
from tests.real.embedded import start_embedded
from tests.real.mosquitto import Mosquitto
from tests.real.ports import free_port
from tests.real.stack import DEADLINE, Stack, make_stack
from tests.stacks.runbook import OPERATIONS, blocks

pytestmark = pytest.mark.real

HOUR = 3600


@dataclass
class Folder:
    """A stack whose every part is as it should be, until a test spoils one."""

    stack: Stack
    mosquitto: Mosquitto
    connected: list[mqtt.Client] = field(default_factory=list)

    def look(self) -> dict[str, Result]:
        return dict(doctor(checks(self.stack.session())))

    @property
    def current(self) -> Version:
        found = self.stack.session().store.versions("mqtt").current
        assert found
        return found

    def set_password(self, name: str) -> None:
        """As somebody does at the broker, behind our back."""
        user = self.stack.credential(name)["username"]
        changed = Value({"username": user, "password": new_password()})
        target = open_target(self.stack.manifest.broker, self.stack.manifest.secret(name).kind)
        target.apply(self.mosquitto.admin, changed)

    def change_manifest(self, **changes: object) -> None:
        self.stack.manifest = self.stack.manifest.model_copy(update=changes)
        self.stack.file.write_text(self.stack.manifest.model_dump_json())


@pytest.fixture
def folder(mosquitto: Mosquitto, tmp_path: Path) -> Folder:
    """As two rotations and their ticks leave it."""
    stack = make_stack(tmp_path / "store", mosquitto.broker(), grace_seconds=1)
    stack.put("broker-admin", mosquitto.admin)
    stack.put("agent-key", {"api-key": new_password()})
    for _ in range(2):
        stack.rotate()
        stack.skip_grace()
        assert [one.error for one in stack.tick()] == [None] * 4
    return Folder(stack, mosquitto)


def wrong(found: dict[str, Result]) -> dict[str, str]:
    return {name: told(result) for name, result in found.items() if result.level is not Level.OK}


def test_a_stack_as_its_ticks_leave_it_is_well_and_nothing_is_changed(folder: Folder) -> None:
    before = {path: path.read_bytes() for path in (folder.stack.root / "versions").rglob("*.json")}
    found = folder.look()
    assert wrong(found) == {}
    assert found["login mqtt"].value == f"user {folder.current.user} logs in"
    assert {path: path.read_bytes() for path in (folder.stack.root / "versions").rglob("*.json")} == before
    records = [json.loads(line) for line in (folder.stack.root / "log" / "access.jsonl").read_text().splitlines()]
    assert [each["purpose"] for each in records if each["secret"] == "mqtt"][-2:] == [
        "doctor: log in",
        "compare with what is delivered",
    ]


def open_the_folder(folder: Folder) -> None:
    folder.stack.root.chmod(0o755)
    folder.stack.env.chmod(0o644)
    (folder.stack.root / "versions" / "mqtt" / "state.json").chmod(0o660)


def leave_pending(folder: Folder) -> None:
    """A rotation that was killed after its first step."""
    then = datetime.now(UTC) - timedelta(hours=3)
    idle = next(user for user in folder.stack.manifest.secret("mqtt").users if user != folder.current.user)
    version = Version(id=f"{then:%Y%m%dT%H%M%SZ}-left", stage=Stage.PENDING, created=then, user=idle)
    folder.stack.session().store.add("mqtt", version, Value({"username": idle, "password": new_password()}))


def half_set_a_password(folder: Folder) -> None:
    """The same, killed after its second step: the broker has the new password, and readers the other user."""
    leave_pending(folder)
    store = folder.stack.session().store
    pending = store.versions("mqtt").pending
    assert pending
    target = open_target(folder.stack.manifest.broker, folder.stack.manifest.secret("mqtt").kind)
    target.apply(folder.mosquitto.admin, store.read("mqtt", pending.id, purpose="test"))


def change_the_servers_password(folder: Folder) -> None:
    folder.set_password("mqtt")


def change_the_servers_password_and_tick(folder: Folder) -> None:
    """The tick that finds it writes it down."""
    folder.set_password("mqtt")
    assert any(one.error for one in folder.stack.tick())


def change_the_admins_password(folder: Folder) -> None:
    """The one that secretops made. The broker's own first one is a person's."""
    folder.stack.rotate("broker-admin")
    folder.set_password("broker-admin")


def leave_undelivered(folder: Folder) -> None:
    """What a publish that was killed between its two halves leaves."""
    state = folder.stack.root / "versions" / "agent-key" / "state.json"
    folder.stack.put("agent-key", {"api-key": new_password()})
    versions = json.loads(state.read_text())
    versions[-1]["published"] = None
    state.write_text(json.dumps(versions))
    lines = folder.stack.env.read_text().splitlines()
    folder.stack.env.write_text("\n".join(line for line in lines if "AGENT" not in line) + "\n")


def leave_a_retired_one(folder: Folder) -> None:
    """The grace was over for three hours, and nobody has retired the version before."""
    folder.stack.clock.skip(-4 * HOUR)
    folder.stack.rotate()
    folder.stack.clock.skip(4 * HOUR)


def lose_the_values(folder: Folder) -> None:
    """Somebody removed every version; the journal, the readers' file and the broker outlived them."""
    shutil.rmtree(folder.stack.root / "versions" / "mqtt")
    (mqtt,) = [one for one in status(folder.stack.session()) if one.name == "mqtt"]
    assert (mqtt.standing, len(mqtt.notes)) == (Standing.ATTENTION, 1)
    assert "lost-store.md" in mqtt.notes[0]


def let_rotation_be_overdue(folder: Folder) -> None:
    """Its cadence was over for days, and no tick came."""
    state = folder.stack.root / "versions" / "mqtt" / "state.json"
    versions = json.loads(state.read_text())
    long_ago = (datetime.now(UTC) - timedelta(days=100)).isoformat()
    for each in versions:
        each.update(created=long_ago, published=each["published"] and long_ago)
    state.write_text(json.dumps(versions))


def make_one_tomorrow(folder: Folder) -> None:
    """By a machine whose clock is a day ahead."""
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    version = Version(id="v-of-tomorrow", stage=Stage.PENDING, created=tomorrow)
    store = folder.stack.session().store
    store.add("agent-key", version, Value({"api-key": new_password()}))
    store.publish("agent-key", version.id, tomorrow)


def edit(folder: Folder) -> None:
    folder.stack.spoil("mqtt", "password", "typed-by-hand")


def leave_the_stack(folder: Folder) -> None:
    secrets = tuple(one for one in folder.stack.manifest.secrets if one.name != "agent-key")
    folder.change_manifest(secrets=secrets)


def fail_to_apply(folder: Folder) -> None:
    """What a rotation writes down when the broker did not answer it."""
    entry = Entry(
        time=folder.stack.clock(), secret="mqtt", version=folder.current.id, step="prepare", outcome="no space is left"
    )
    folder.stack.session().journal.write(entry)


def stay_on_an_old_version(folder: Folder) -> None:
    """A server that says it still uses one that was replaced, hours after the grace."""
    credential = folder.stack.credential()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5, client_id="the-old-server")
    client.username_pw_set(credential["username"], credential["password"])
    broker = folder.stack.manifest.broker
    if broker.tls:
        client.tls_set(broker.ca_file)
    client.connect(broker.host, broker.port)
    client.loop_start()
    topic = f"{REPORTS}/{quote(credential['username'], safe='')}/the-old-server"
    client.publish(topic, report_text("mqtt", "v-before", datetime.now(UTC)), qos=1, retain=True).wait_for_publish(
        DEADLINE
    )
    folder.connected.append(client)
    folder.stack.clock.skip(HOUR)


def stop_the_broker(folder: Folder) -> None:
    broker = folder.stack.manifest.broker.model_copy(update={"port": free_port()})
    folder.change_manifest(broker=broker)


def run(folder: Folder, *arguments: str) -> subprocess.CompletedProcess[str]:
    return folder.stack.run("doctor", *arguments)


def test_without_a_terminal_nothing_is_repaired_unasked(folder: Folder) -> None:
    open_the_folder(folder)
    done = run(folder, "--repair")
    assert done.returncode == ExitCode.USAGE
    assert "nobody to ask" in done.stderr and "--repair --yes" in done.stderr
    assert folder.stack.root.stat().st_mode & 0o777 == 0o755
    assert run(folder, "--yes").returncode == ExitCode.USAGE


def test_doctor_names_the_repairs_and_does_them_when_told_to_and_looks_again(folder: Folder) -> None:
    leave_pending(folder)
    edit_another(folder)
    open_the_folder(folder)
    said = run(folder)
    assert said.returncode == ExitCode.ATTENTION
    assert said.stdout.splitlines()[-1].startswith("secretops doctor --repair does: chmod: ")
    assert "; secretops tick: " in said.stdout.splitlines()[-1]
    shown = {one["check"]: one["repair"] for one in json.loads(run(folder, "--json").stdout)}
    assert {name for name, words in shown.items() if words} == {"folder", "secret mqtt"}
    done = json.loads(run(folder, "--repair", "--yes", "--json").stdout)
    assert set(done) == {"found", "repairs", "now"}
    chmod, tick = done["repairs"]
    assert chmod["done"] == "3 of them closed" and chmod["error"] is None
    assert tick["done"] is None and "agent-key" in tick["error"], "what a person changed is not overwritten"
    now = {one["check"]: one for one in done["now"]}
    assert [name for name, one in now.items() if one["level"] != "ok"] == ["secret agent-key"]
    assert now["secret agent-key"]["repair"] is None
    again = run(folder, "--repair", "--yes")
    assert again.returncode == ExitCode.ATTENTION
    assert again.stdout.splitlines()[-1] == "there is nothing that secretops can mend by itself"


def edit_another(folder: Folder) -> None:
    text = folder.stack.env.read_text()
    before = next(line for line in text.splitlines() if line.startswith("DO_AGENT_API_KEY"))
    folder.stack.env.write_text(text.replace(before, "DO_AGENT_API_KEY=typed-by-hand"))


@pytest.mark.parametrize(("answer", "code", "mode"), [("y", ExitCode.DONE, 0o700), ("n", ExitCode.ATTENTION, 0o755)])
def test_on_a_terminal_each_repair_is_asked_for(folder: Folder, answer: str, code: ExitCode, mode: int) -> None:
    folder.stack.root.chmod(0o755)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        folder.stack.command("doctor", "--repair"), stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True
    ) as process:
        os.close(theirs)
        said = read_until(ours, "?")
        assert "chmod: take the rights of others off the store's folders and files" in said
        assert folder.stack.root.stat().st_mode & 0o777 == 0o755, "nothing is done before the answer"
        os.write(ours, f"{answer}\n".encode())
        said = read_until(ours, None)
        assert process.wait(DEADLINE) == code, said
    os.close(ours)
    assert folder.stack.root.stat().st_mode & 0o777 == mode
    assert ("looked at again:" if answer == "y" else "nothing was done") in said


def test_an_embedded_broker_that_does_not_run_is_started(tmp_path: Path) -> None:
    broker = start_embedded(tmp_path)
    stack = make_stack(tmp_path / "store", broker.broker(), grace_seconds=1)
    stack.put("broker-admin", broker.admin)
    stack.rotate()
    broker.stop()
    try:
        found = dict(doctor(checks(stack.session())))
        assert found["broker"].level is Level.ATTENTION and found["login mqtt"].level is Level.UNKNOWN
        (repair,) = repairs(list(found.items()))
        assert repair.words == "secretops broker start" and "listens at" in str(mend(repair))
        assert wrong(dict(doctor(checks(stack.session())))) == {}
    finally:
        broker.stop()


def test_the_pages_commands_do_what_it_says(folder: Folder) -> None:
    look, mending = blocks(OPERATIONS / "doctor.md")
    open_the_folder(folder)

    def sh(block: str) -> int:
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "SECRETOPS_MANIFEST": str(folder.stack.file)}
        return subprocess.run(["bash", "-c", block], env=environment, capture_output=True, check=False).returncode

    assert [sh(block) for block in (look, mending, look)] == [ExitCode.ATTENTION, ExitCode.DONE, ExitCode.DONE]


def read_until(terminal: int, words: str | None) -> str:
    """What a terminal shows up to `words`, or to its end."""
    shown, end = "", time.monotonic() + DEADLINE
    while time.monotonic() < end and (words is None or f"{words} [y/N]" not in shown):
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            shown += os.read(terminal, 10000).decode(errors="replace")
        except OSError:  # its other end is closed
            break
    return shown


TICK, ROTATE = "secretops tick", "secretops rotate mqtt"

FAULTS: tuple[Fault[Folder], ...] = (
    Fault(open_the_folder, "folder", ("store has mode 755", ".env has mode 644", "mode 660"), "chmod"),
    Fault(leave_pending, "secret mqtt", ("left pending",), TICK),
    Fault(half_set_a_password, "secret mqtt", ("left pending",), TICK),
    Fault(change_the_servers_password, "login mqtt", ("the broker refuses user", "find out who"), ROTATE),
    Fault(change_the_servers_password_and_tick, "secret mqtt", ("verify failed 20", "the broker refuses user"), ROTATE),
    Fault(change_the_admins_password, "login broker-admin", ("refuses user", "secretops put broker-admin")),
    Fault(leave_undelivered, "secret agent-key", ("not delivered",), TICK),
    Fault(leave_a_retired_one, "secret mqtt", ("is past its grace",), TICK),
    Fault(lose_the_values, "secret mqtt", ("its values are gone", "purged since, or lost", "lost-store.md")),
    Fault(let_rotation_be_overdue, "secret mqtt", ("overdue since",), TICK),
    Fault(fail_to_apply, "secret mqtt", ("prepare failed 20", "no space is left"), TICK),
    Fault(make_one_tomorrow, "secret agent-key", ("was made 86", "clocks are apart")),
    Fault(edit, "secret mqtt", ("changed by hand",)),
    Fault(leave_the_stack, "secrets that left", ("agent-key", "secretops purge agent-key --destroy")),
    Fault(stay_on_an_old_version, "login mqtt", ("the-old-server is on version v-before", "log says why")),
    Fault(stop_the_broker, "broker", ("Connection refused", "start it")),
)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_planted_fault_is_found_and_mended_where_secretops_can(fault: Fault[Folder], folder: Folder) -> None:
    try:
        prove(fault, folder)
    finally:
        for client in folder.connected:
            client.publish(
                f"{REPORTS}/{quote(folder.stack.credential()['username'], safe='')}/the-old-server", b"", 1, True
            )
            client.disconnect()
            client.loop_stop()
