"""Run the commands of the pages on agent keys, certificates, doctor, the report and monitoring, word for word."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from secretops.errors import ExitCode
from secretops.manifest import SecretKind
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.real.embedded import Embedded
from tests.real.mosquitto import start_mosquitto
from tests.real.own_ca import AUTHORITY, CERTIFICATE, Certified, make_certified, trusting_broker
from tests.real.stack import DEADLINE, Stack, make_stack
from tests.stacks.runbook import OPERATIONS, blocks, run_of

pytestmark = [pytest.mark.real, pytest.mark.slow]


NOTHING: Mapping[str, str] = {}


def follow(
    stack: Stack | None,
    block: str,
    cwd: Path,
    *,
    stdin: str = "",
    code: int = 0,
    environment: Mapping[str, str] = NOTHING,
) -> str:
    """Run the commands of a block. Return their output."""
    own = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    if stack:
        own["SECRETOPS_MANIFEST"] = str(stack.file)
    done = subprocess.run(
        ["bash", "-ec", block], cwd=cwd, env={**os.environ, **own, **environment}, input=stdin, capture_output=True,
        text=True, timeout=DEADLINE, check=False,
    )  # fmt: skip
    assert done.returncode == code, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.fixture
def certified(tmp_path: Path) -> Iterator[Certified]:
    """Yield a stack without values; the broker trusts the page's folder `clients`."""
    folder = tmp_path / "broker"
    (folder / "clients").mkdir(parents=True)
    started = start_mosquitto(folder, certifying=True, trusts=folder / "clients")
    try:
        yield make_certified(tmp_path, started)
    finally:
        started.stop()


def test_certificates_page_makes_trusts_and_changes_a_ca(certified: Certified) -> None:
    _, make, trusting, sign, *_ = blocks(OPERATIONS / "certificates.md")
    stack, folder = certified.stack, certified.broker.folder
    follow(stack, make, folder, code=ExitCode.WAITING)
    follow(stack, trusting, folder)
    follow(stack, sign, folder)
    stack.put("broker-admin", dict(certified.broker.admin))
    assert certified.errors() == {} and certified.log_in() == "Success"
    old, before = certified.current(AUTHORITY), certified.current()
    follow(stack, make, folder, code=ExitCode.ATTENTION)
    follow(stack, trusting, folder)
    assert len(list((folder / "clients").glob("*.crt"))) == 2
    assert certified.errors() == {}
    assert certified.current(AUTHORITY) != old and certified.current() == before
    follow(stack, sign.splitlines()[1], folder)
    stack.skip_grace()
    for _ in range(2):
        assert certified.errors() == {}
    follow(stack, trusting, folder)
    assert len(list((folder / "clients").glob("*.crt"))) == 1
    assert certified.log_in() == "Success"


def test_certificates_page_supplies_a_certificate(tmp_path: Path) -> None:
    with trusting_broker(tmp_path / "broker") as broker:
        stack = make_stack(tmp_path / "store", broker.broker())
        follow(stack, blocks(OPERATIONS / "certificates.md")[0], broker.folder)
        assert stack.session().store.versions(CERTIFICATE).current


@pytest.fixture
def rotated(embedded_broker: Embedded, tmp_path: Path) -> Stack:
    stack = make_stack(tmp_path / "store", embedded_broker.broker())
    stack.put("broker-admin", dict(embedded_broker.admin))
    stack.rotate()
    assert [one.error for one in stack.tick() if one.error] == []
    return stack


def test_import_page_moves_a_server_to_a_stack(embedded_broker: Embedded, tmp_path: Path) -> None:
    user = Value({"username": f"plant-{new_password()[:8]}", "password": new_password()})
    open_target(embedded_broker.broker(), SecretKind.MQTT_USER).apply(embedded_broker.admin, user)
    (tmp_path / ".env").write_text(f"MQTT_USER={user['username']}\nMQTT_PASSWORD={user['password']}\n")
    stack = make_stack(tmp_path / "store", embedded_broker.broker(), grace_seconds=0)
    look, move, rotate, retire, check = run_of(OPERATIONS / "import.md")
    for block in (look, move):
        follow(stack, block, tmp_path, environment={"SERVER": str(tmp_path / ".env")})
    assert stack.credential() == user
    stack.put("broker-admin", dict(embedded_broker.admin))
    follow(stack, rotate, tmp_path)
    assert "kept your user" in follow(stack, retire, tmp_path)
    follow(stack, check.splitlines()[0], tmp_path)
    assert stack.log_in(user) == "Success" and stack.credential() != user


def test_doctor_page_finds_and_repairs(rotated: Stack, tmp_path: Path) -> None:
    look, mend = blocks(OPERATIONS / "doctor.md")
    rotated.root.chmod(0o755)
    follow(rotated, look, tmp_path, code=ExitCode.ATTENTION)
    follow(rotated, mend, tmp_path)
    follow(rotated, look, tmp_path)


def test_report_page_writes_page_and_json(rotated: Stack, tmp_path: Path) -> None:
    (tmp_path / "trail.log").write_bytes((rotated.root / "log/access.jsonl").read_bytes())
    (tmp_path / "rotator.log").write_bytes((rotated.root / "log/rotation.jsonl").read_bytes())
    for block in blocks(OPERATIONS / "report.md"):
        (tmp_path / "report.html").unlink(missing_ok=True)
        follow(rotated, block, tmp_path)
        assert (tmp_path / "report.html").exists() is ("--to" in block)
    assert (tmp_path / "report.json").stat().st_size


def test_monitoring_page_prints_metrics_and_a_history(rotated: Stack, tmp_path: Path) -> None:
    show, write, history = blocks(OPERATIONS / "monitoring.md")
    shown = follow(rotated, show, tmp_path)
    assert 'secret="mqtt"' in shown
    follow(rotated, write, tmp_path)
    assert (tmp_path / "secretops.prom").read_text().splitlines()[0] in shown
    assert "publish" in follow(rotated, history, tmp_path)
