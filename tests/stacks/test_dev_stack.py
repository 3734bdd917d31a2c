"""The dev stack under the real engine: what it creates, preserves, repairs, refuses and leaves behind."""

import json
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from secretops.values import new_password
from tests.gates.test_leak import forms
from tests.real.ports import free_port
from tests.stacks.project import ROOT, Stack, new_stack
from tests.unit.broken_stack_files import CANARY, row

pytestmark = pytest.mark.real


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = new_stack(tmp_path, port=free_port())
    yield made
    made.secretops("broker", "stop")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_up_makes_the_folder_a_preview_is_empty_and_destroy_removes_it(stack: Stack) -> None:
    stack.up()
    assert {mode(stack.root / folder) for folder in (".", "config", "certs", "secrets", "versions", "log")} == {0o700}
    assert mode(stack.root / "config" / ".env") == 0o600
    entry = json.loads((stack.root / "config" / "mcp.json").read_text())["mcpServers"]["coreflux"]
    assert entry["args"] == ["run", "--from", f"dotenv:{stack.root}"]
    stack.preview_is_empty()
    assert stack.run("destroy", "--yes").returncode == 0
    assert not stack.root.exists()


def test_pulumi_keeps_the_line_that_names_the_schema_when_it_writes_the_stack_file(stack: Stack) -> None:
    shipped = (ROOT / "Pulumi.dev.yaml").read_text()
    written = stack.configure(shipped)
    done = stack.run("config", "set", "--path", "coreflux-mcp-secrets:rotation.mqtt_days", "30")
    assert done.returncode == 0 and "mqtt_days: 30" in written.read_text(), done.stdout
    assert written.read_text().splitlines()[0] == shipped.splitlines()[0]


def test_preview_of_a_broken_stack_file_shows_every_error_and_no_secret(tmp_path: Path) -> None:
    stack = new_stack(tmp_path, port=1883, name="dev")
    host = "'mqtts://mqtt.example.com:8883/<value>'"
    broken = row(f"dotenv, {{broker.host: {host}, broker.password: <value>, broker.port: 0")
    stack.configure(broken.text)
    done = stack.run("preview")
    assert done.returncode != 0
    shown = " ".join(done.stdout.partition("Diagnostics:")[2].split())
    assert all(place in shown and part in shown for place, part in broken.errors), done.stdout
    assert shown.count("error:") == 1
    assert not [word for word in ("Traceback", "unhandled", "exit code", CANARY) if word in done.stdout]
    assert not stack.root.exists()


@pytest.mark.slow
def test_values_are_in_no_state_preview_or_log_and_no_preview_changes_them(stack: Stack) -> None:
    output = stack.up()
    output += stack.secretops("broker", "start").stdout
    key = f"canary-{new_password()}/+%"
    output += stack.secretops("put", "agent-key", "--untested", stdin=key).stdout
    for _ in range(3):
        done = stack.secretops("rotate", "mqtt")
        assert done.returncode == 0, done.stdout
        output += done.stdout
    stack.preview_is_empty()
    output += stack.run("refresh", "--yes").stdout
    done = stack.run("preview", "--diff", "--expect-no-changes", "-v=9", "--logtostderr")
    assert done.returncode == 0, done.stdout[-4000:]
    output += done.stdout
    output += stack.state()
    output += "".join(path.read_text() for path in (stack.home / "state").rglob("*") if path.is_file())
    output += "".join(path.read_text() for path in (stack.root / "log").iterdir())

    variables = dotenv_values(stack.root / "config" / ".env")
    assert variables["DO_AGENT_API_KEY"] == key, "the canary is where it belongs, so looking for it can succeed"
    canaries = [str(variables["DO_AGENT_API_KEY"]), str(variables["MQTT_PASSWORD"])]
    for path in (stack.root / "versions").glob("*/*.json"):
        if path.name not in ("state.json", "delivered.json"):
            canaries += [value for field, value in json.loads(path.read_text()).items() if field != "username"]
    assert len(set(canaries)) >= 4, "agent key, current and previous of mqtt, broker admin"
    assert not [index for index, canary in enumerate(canaries) for form in forms(canary) if form in output.encode()]
    assert '"ciphertext"' not in output, "and nothing is kept encrypted either"


@pytest.mark.slow
def test_up_repairs_drift_and_keeps_what_others_own(stack: Stack) -> None:
    stack.up()
    stack.secretops("put", "agent-key", "--untested", stdin="a-key-of-the-operator")
    env = stack.root / "config" / ".env"
    env.write_text(env.read_text().replace("LOG_LEVEL=DEBUG", "LOG_LEVEL=ERROR") + "# mine\nMINE=1\n")
    env.chmod(0o644)
    (stack.root / "config" / "mcp.json").unlink()
    (stack.root / "versions").chmod(0o755)

    done = stack.run("preview", "--expect-no-changes")
    assert done.returncode != 0, "drift shows in the preview"
    stack.up()

    variables = dotenv_values(env)
    assert (variables["LOG_LEVEL"], variables["MINE"], mode(env)) == ("DEBUG", "1", 0o600)
    assert variables["DO_AGENT_API_KEY"] == "a-key-of-the-operator"
    assert (stack.root / "config" / "mcp.json").exists()
    assert mode(stack.root / "versions") == 0o700
    stack.preview_is_empty()
