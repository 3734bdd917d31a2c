"""The dev stack under the real engine: what it makes, keeps, repairs, refuses and leaves behind."""

from __future__ import annotations

import base64
import json
import stat
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

import pytest
from dotenv import dotenv_values

from secretops.manifest import Manifest
from secretops.values import Value, new_password
from tests.real.ports import free_port
from tests.real.stack import log_in
from tests.stacks.project import Stack, new_stack

pytestmark = pytest.mark.real


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    made = new_stack(tmp_path, port=free_port())
    yield made
    made.secretops("broker", "stop")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def forms(value: str) -> list[str]:
    """A value as it may hide: plain, base64, hex, URL-encoded."""
    raw = value.encode()
    return [value, base64.b64encode(raw).decode().rstrip("="), raw.hex(), urllib.parse.quote(value, safe="")]


def test_up_lays_down_what_the_guide_draws_a_second_one_changes_nothing_and_without_values_all_of_it_goes(
    stack: Stack,
) -> None:
    stack.up()
    assert {mode(stack.root / folder) for folder in (".", "config", "certs", "secrets", "versions", "log")} == {0o700}
    assert mode(stack.root / "config" / ".env") == 0o600
    entry = json.loads((stack.root / "config" / "mcp.json").read_text())["mcpServers"]["coreflux"]
    assert entry["args"] == ["run", "--from", f"dotenv:{stack.root}"]
    stack.preview_is_empty()
    assert stack.run("destroy", "--yes").returncode == 0
    assert not stack.root.exists()


def test_values_in_use_are_in_no_state_preview_output_or_log_and_no_preview_wants_to_change_them(stack: Stack) -> None:
    said = stack.up()
    said += stack.secretops("broker", "start").stdout
    key = f"canary-{new_password()}/+ %"
    said += stack.secretops("put", "agent-key", "--untested", given=key).stdout
    for _ in range(3):
        done = stack.secretops("rotate", "mqtt")
        assert done.returncode == 0, done.stdout
        said += done.stdout
    stack.preview_is_empty()
    said += stack.run("refresh", "--yes").stdout
    done = stack.run("preview", "--diff", "--expect-no-changes", "-v=9", "--logtostderr")
    assert done.returncode == 0, done.stdout[-4000:]
    said += done.stdout
    said += stack.state()
    said += "".join(path.read_text() for path in (stack.home / "state").rglob("*") if path.is_file())
    said += "".join(path.read_text() for path in (stack.root / "log").iterdir())

    variables = dotenv_values(stack.root / "config" / ".env")
    assert variables["DO_AGENT_API_KEY"] == key, "the canary is where it belongs, so looking for it can succeed"
    canaries = [str(variables["DO_AGENT_API_KEY"]), str(variables["MQTT_PASSWORD"])]
    for path in (stack.root / "versions").glob("*/*.json"):
        if path.name not in ("state.json", "delivered.json"):
            canaries += [value for field, value in json.loads(path.read_text()).items() if field != "username"]
    assert len(set(canaries)) >= 4, "agent key, current and previous of mqtt, broker admin"
    assert not [index for index, canary in enumerate(canaries) for form in forms(canary) if form in said]
    assert '"ciphertext"' not in said, "and nothing is kept encrypted either"


def test_any_up_repairs_what_somebody_changed_and_keeps_what_others_own(stack: Stack) -> None:
    stack.up()
    stack.secretops("put", "agent-key", "--untested", given="a-key-of-the-operator")
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


def test_a_compromised_password_is_refused_and_no_preview_sees_a_change(stack: Stack, tmp_path: Path) -> None:
    """How soon, tests/contract/test_compromise.py measures."""
    stack.up()
    stack.secretops("broker", "start")
    assert stack.secretops("rotate", "mqtt").returncode == 0
    broker = Manifest.model_validate_json((stack.root / "config" / "secretops.json").read_bytes()).broker
    variables = dotenv_values(stack.root / "config" / ".env")
    old = Value({"username": variables["MQTT_USER"] or "", "password": variables["MQTT_PASSWORD"] or ""})
    assert log_in(broker, old) == "Success"
    done = stack.secretops("compromise", "mqtt", "--yes", "--to", str(tmp_path))
    assert done.returncode == 0, done.stdout
    assert log_in(broker, old) != "Success"
    assert len(list(tmp_path.glob("incident-mqtt-*.json"))) == 1
    stack.preview_is_empty()


def test_destroy_takes_what_it_made_and_leaves_every_value_which_purge_takes_but_for_the_trail(stack: Stack) -> None:
    stack.up()
    stack.secretops("put", "agent-key", "--untested", given="a-key-of-the-operator")
    done = stack.run("destroy", "--yes")
    assert done.returncode == 0, done.stdout

    variables = dotenv_values(stack.root / "config" / ".env")
    assert variables["DO_AGENT_API_KEY"] == "a-key-of-the-operator"
    assert "MQTT_BROKER" not in variables
    assert not (stack.root / "config" / "mcp.json").exists()
    assert not (stack.root / "certs").exists()
    assert (stack.root / "log" / "access.jsonl").exists()

    stack.up()
    assert dotenv_values(stack.root / "config" / ".env")["DO_AGENT_API_KEY"] == "a-key-of-the-operator"
    dry = stack.secretops("purge")
    assert "would be removed" in dry.stdout
    assert "DO_AGENT_API_KEY" in dotenv_values(stack.root / "config" / ".env")
    assert stack.secretops("purge", "--destroy", "--yes").returncode == 0
    assert stack.run("destroy", "--yes").returncode == 0
    assert {path.relative_to(stack.root).parts[0] for path in stack.root.rglob("*") if path.is_file()} <= {
        "log",
        ".lock",
        ".lease",
        ".gitignore",
    }


def test_a_file_in_the_stores_place_is_refused_at_preview_without_a_traceback(stack: Stack) -> None:
    stack.root.write_text("not a folder")
    done = stack.run("preview")
    assert done.returncode != 0
    assert "is a file; a folder belongs there" in done.stdout
    assert "Traceback" not in done.stdout
    assert stack.root.read_text() == "not a folder"


def test_another_stack_is_refused_the_folder_at_preview_and_up_and_the_own_one_keeps_it_under_a_new_name(
    stack: Stack,
) -> None:
    stack.up()
    stack.secretops("put", "agent-key", "--untested", given="a-key-of-the-operator")
    before = {path: path.read_bytes() for path in stack.root.rglob("*") if path.is_file()}
    other = Stack("dev-plant", stack.home, stack.config)
    other.create()
    for arguments in (["preview"], ["up", "--yes", "--skip-preview"]):
        done = other.run(*arguments)
        assert done.returncode != 0
        assert "is the store of stack dev-test, and this is stack dev-plant" in done.stdout, done.stdout
        assert "Traceback" not in done.stdout
    assert {path: path.read_bytes() for path in stack.root.rglob("*") if path.is_file()} == before

    done = stack.run("stack", "rename", "dev-factory", config=False)
    assert done.returncode == 0, done.stdout
    renamed = Stack("dev-factory", stack.home, stack.config)
    renamed.configure()
    renamed.up()
    assert json.loads((stack.root / "config" / "secretops.json").read_text())["stack"] == "dev-factory"
    assert dotenv_values(stack.root / "config" / ".env")["DO_AGENT_API_KEY"] == "a-key-of-the-operator"
    renamed.preview_is_empty()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            """config:
              coreflux-mcp-secrets:store: {kind: dotenv, rot: /x}
              coreflux-mcp-secrets:server: {kind: locall}
              coreflux-mcp-secrets:broker: {kind: embedded, port: 0}
              coreflux-mcp-secrets:rotation: {mqtt_days: -1}
            """,
            ("4 errors", "store.rot", "did you mean local?", "broker.port: 0", "rotation.mqtt_days: -1"),
        ),
        (
            """config:
              coreflux-mcp-secrets:store: {kind: dotenv}
              coreflux-mcp-secrets:server: {kind: local}
              coreflux-mcp-secrets:broker: {kind: coreflux, host: mqtt.example.com, password: canary-1234567}
            """,
            ("1 error", "broker.password", "secretops put mqtt"),
        ),
    ],
    ids=["four-errors-at-once", "a-password-in-the-configuration"],
)
def test_the_engine_shows_every_error_of_a_stack_file_and_makes_nothing(
    stack: Stack, text: str, expected: tuple[str, ...]
) -> None:
    stack.configure(text)
    done = stack.run("up", "--yes", "--skip-preview")
    assert done.returncode != 0
    assert not [part for part in expected if part not in done.stdout], done.stdout
    assert "Traceback" not in done.stdout
    assert "canary" not in done.stdout
    assert not stack.root.exists()


@pytest.mark.parametrize(
    ("stack_name", "told"),
    [
        ("staging", "broker.ca_file: /etc/ssl/certs/staging-ca.crt: No such file"),
        ("prod", "broker.ca_file: /etc/ssl/certs/prod-ca.crt: No such file"),
    ],
    ids=["staging", "prod"],
)
def test_a_shipped_stack_that_cannot_be_deployed_here_says_the_one_reason(
    tmp_path: Path, stack_name: str, told: str
) -> None:
    stack = new_stack(tmp_path, port=1883, name=stack_name)
    stack.configure((Path(__file__).parents[2] / f"Pulumi.{stack_name}.yaml").read_text())
    done = stack.run("preview")
    assert done.returncode != 0
    assert told in done.stdout
    assert "1 error;" in done.stdout, "and that is all that is wrong with it"
    assert "Traceback" not in done.stdout
