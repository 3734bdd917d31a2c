"""The program's resources under mocks: their order, how they locate secrets, and that they contain no values."""

import base64
import json
import os
import secrets
import subprocess
import sys
from pathlib import Path

import pytest

from components.settings.section import PROJECT_FOLDER
from secretops.manifest import Manifest
from secretops.platforms.dotenv.location import DotenvStoreLocation
from tests.unit.harness import Deployed, before, deployed, texts

FOLDER = "pulumi-python:dynamic/coreflux-mcp-secrets:Folder"
DEV = """
config:
  coreflux-mcp-secrets:store: {kind: dotenv}
  coreflux-mcp-secrets:server: {kind: local}
  coreflux-mcp-secrets:broker: {kind: embedded}
  coreflux-mcp-secrets:rotation: {grace_seconds: 3}
"""

OUTSIDE = """
config:
  store: {{kind: dotenv, root: "{root}", deliver: {deliver}}}
  server: {{kind: local, source: /opt/coreflux-mcp-server}}
  broker: {broker}
  secrets: {secrets}
"""


def outside(
    broker: str = "{kind: coreflux, host: mqtt.example.com}",
    *,
    stack: str = "staging",
    deliver: str = "variables",
    declared: str = "{}",
    root: str = "/etc/coreflux-mcp",
) -> Deployed:
    text = OUTSIDE.format(root=root, deliver=deliver, broker=broker, secrets=declared)
    return deployed(text, stack)


@pytest.fixture(scope="module")
def dev() -> Deployed:
    return deployed(DEV, "dev")


def manifest_of(deployed: Deployed) -> Manifest:
    return Manifest.model_validate_json(deployed.resources["rotator"].inputs["files"]["config/secretops.json"])


def store_of(deployed: Deployed) -> DotenvStoreLocation:
    store = manifest_of(deployed).store
    assert isinstance(store, DotenvStoreLocation)
    return store


def lines_of(deployed: Deployed) -> dict[str, str]:
    found: dict[str, str] = {}
    for resource in deployed.of_type(FOLDER):
        assert not found.keys() & resource.inputs["lines"].keys(), "two resources keep one line"
        found |= resource.inputs["lines"]
    assert found == store_of(deployed).lines, "doctor compares them"
    return found


def delivered(deployed: Deployed) -> set[str]:
    store = store_of(deployed)
    places = [*store.variables.values(), *store.file_variables.values()]
    return {name for fields in places for name in fields.values()}


def test_the_dev_program_is_a_store_a_rotator_and_a_server(dev: Deployed) -> None:
    assert {(resource.name, resource.type, resource.parent) for resource in dev.resources.values()} == {
        ("secrets", "coreflux-mcp-secrets:dotenv:SecretStore", ""),
        ("secrets-folder", FOLDER, "secrets"),
        ("rotator", FOLDER, "secrets"),
        ("server", "coreflux-mcp-secrets:local:McpServer", ""),
        ("server-files", FOLDER, "server"),
    }


def test_the_server_comes_after_the_whole_store(dev: Deployed) -> None:
    assert {"secrets-folder", "rotator"} <= dev.resources["server"].depends_on
    for name in ("rotator", "server-files"):
        assert "secrets-folder" in before(dev, name)


def test_no_input_and_no_output_is_a_secret_because_none_holds_one(dev: Deployed) -> None:
    assert [
        (resource.name, resource.secret_inputs) for resource in dev.resources.values() if resource.secret_inputs
    ] == []
    assert dev.secret_exports == ()


@pytest.mark.parametrize("deliver", ["variables", "files"])
def test_values_in_the_folder_never_reach_pulumi(
    tmp_path: Path, deliver: str, caplog: pytest.LogCaptureFixture
) -> None:
    canary = f"Canary{secrets.token_hex(12)}"
    for path in ("config/.env", "secrets/mqtt_password", "versions/mqtt/1.json", "certs/client.key"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(f"MQTT_PASSWORD={canary}\n")
    with caplog.at_level("DEBUG"):
        deployed = outside(root=str(tmp_path), deliver=deliver, declared="{db: {fields: [url, password]}}")
    handed_over = "\n".join([*texts([vars(each) for each in deployed.resources.values()]), *texts(deployed.exports)])
    assert str(tmp_path) in handed_over
    assert canary not in handed_over
    assert canary not in caplog.text


def test_the_provider_goes_into_the_state_by_its_name_alone(dev: Deployed) -> None:
    """Pickled by value, it would contain the module's globals, and change with each edit."""
    for resource in dev.of_type(FOLDER):
        pickled = base64.b64decode(resource.inputs["__provider"])
        assert b"components.dotenv.folder" in pickled
        assert len(pickled) < 100


def test_outputs_are_locators_schedules_and_the_next_step(dev: Deployed) -> None:
    root = PROJECT_FOLDER / ".coreflux-mcp"
    names = {"environment", "secretops", "references", "schedule", "trail", "gaps", "server", "next"}
    assert dev.exports.keys() == names
    assert dev.exports["references"] == {"source": f"dotenv:{root}", "secrets": ["mqtt", "agent-key"]}
    assert dev.exports["server"] == str(root / "config" / "mcp.json")
    assert dev.exports["trail"]["records"] == str(root / "log" / "access.jsonl")
    assert dev.exports["next"].startswith("secretops broker start")


def test_the_manifest_of_a_stack_with_everything_round_trips() -> None:
    deployed = outside(
        "{kind: mosquitto, host: mqtt.example.com, ca_file: /etc/ca.crt, client_certificate: true, topics: [a/#, b]}",
        deliver="files",
        declared="{db: {fields: [url, password], readers: [server, rotator]}}",
    )
    manifest = manifest_of(deployed)
    assert Manifest.model_validate(deployed.exports["secretops"]) == manifest
    assert (manifest.broker.topics, manifest.broker.groups) == (("a/#", "b"), ())
    assert [secret.name for secret in manifest.secrets] == ["broker-admin", "mqtt", "agent-key", "client-cert", "db"]


def test_developments_public_lines_are_the_guides(dev: Deployed) -> None:
    assert lines_of(dev) == {
        "MQTT_BROKER": "localhost",
        "MQTT_PORT": "1883",
        "MQTT_USE_TLS": "false",
        "MQTT_PROTOCOL": "3.1.1",
        "LOG_LEVEL": "DEBUG",
    }
    assert delivered(dev) == {"MQTT_USER", "MQTT_PASSWORD", "DO_AGENT_API_KEY"}


def test_productions_variables_are_the_guides_and_name_files() -> None:
    deployed = outside(
        "{kind: mosquitto, host: prod-mqtt.example.com, ca_file: /etc/ssl/certs/prod-ca.crt}",
        stack="prod",
        deliver="files",
    )
    assert lines_of(deployed) == {
        "MQTT_BROKER": "prod-mqtt.example.com", "MQTT_PORT": "8883", "MQTT_USE_TLS": "true", "MQTT_PROTOCOL": "5",
        "MQTT_CA_CERT": "/etc/ssl/certs/prod-ca.crt", "LOG_LEVEL": "WARNING",
    }  # fmt: skip
    assert delivered(deployed) == {"MQTT_USER", "MQTT_PASSWORD_FILE", "DO_AGENT_API_KEY_FILE"}
    store = store_of(deployed)
    assert store.files == {
        "mqtt": {"password": "secrets/mqtt_password-{version}"},
        "agent-key": {"api-key": "secrets/api_key-{version}"},
    }
    assert store.variables == {"mqtt": {"username": "MQTT_USER"}, "agent-key": {}}


def test_a_declared_secret_with_a_guide_fields_name_has_files_of_its_own() -> None:
    deployed = outside(deliver="files", declared="{db: {fields: [username, password, api-key]}, api: {fields: [key]}}")
    store = store_of(deployed)
    paths = [path for fields in store.files.values() for path in fields.values()]
    assert len(paths) == len(set(paths)), paths
    assert store.file_variables["db"] == {
        "username": "DB_USERNAME_FILE",
        "password": "DB_PASSWORD_FILE",
        "api-key": "DB_API_KEY_FILE",
    }


def test_the_client_entry_starts_the_launcher_and_holds_no_secret(dev: Deployed) -> None:
    entry = json.loads(dev.resources["server-files"].inputs["files"]["config/mcp.json"])
    server = entry["mcpServers"]["coreflux"]
    assert entry.keys() == {"mcpServers"}
    assert server.keys() == {"command", "args", "description", "env"}
    assert Path(server["command"]) == Path(sys.prefix) / "bin" / "secretops"
    assert os.access(server["command"], os.X_OK)
    assert server["args"] == ["run", "--from", f"dotenv:{PROJECT_FOLDER / '.coreflux-mcp'}"]
    assert server["env"] == {}


def units_of(deployed: Deployed) -> dict[str, str]:
    files = deployed.resources["rotator"].inputs["files"]
    return {Path(path).name: text for path, text in files.items() if path.startswith("systemd/")}


def test_an_hourly_timer_starts_one_tick_without_pulumi(dev: Deployed) -> None:
    units = units_of(dev)
    assert units.keys() == {"coreflux-mcp-secrets-dev.service", "coreflux-mcp-secrets-dev.timer"}
    manifest = PROJECT_FOLDER / ".coreflux-mcp" / "config" / "secretops.json"
    assert f' tick --scheduled --manifest "{manifest}"\n' in units["coreflux-mcp-secrets-dev.service"]
    assert "SuccessExitStatus" not in units["coreflux-mcp-secrets-dev.service"], "--scheduled says what is a failure"
    assert "OnCalendar=hourly" in units["coreflux-mcp-secrets-dev.timer"]
    assert "\nTimeoutStartSec=30min\n" in units["coreflux-mcp-secrets-dev.service"], "no tick hangs forever"
    assert dev.exports["schedule"].endswith("coreflux-mcp-secrets-dev.timer")


def test_a_unit_and_its_command_survive_a_root_with_signs_of_their_own() -> None:
    deployed = outside(root="/srv/my %h $HOME secrets")
    (service,) = [text for name, text in units_of(deployed).items() if name.endswith(".service")]
    assert '--manifest "/srv/my %%h $$HOME secrets/config/secretops.json"' in service
    unit = "/srv/my %h $HOME secrets/systemd/coreflux-mcp-secrets-staging"
    assert deployed.exports["schedule"] == (
        f"systemctl --user link '{unit}.service' && systemctl --user enable --now '{unit}.timer'"
    )


WATCHED = """
import sys
from importlib.abc import MetaPathFinder

class Watch(MetaPathFinder):
    tried = set()
    def find_spec(self, name, path=None, target=None):
        self.tried.add(name.partition(".")[0])

sys.meta_path.insert(0, Watch())
{program}
foreign = {foreign!r}
print(sorted(foreign & Watch.tried))
"""


@pytest.mark.real
def test_dev_program_imports_no_other_platforms_sdk_and_nothing_of_the_cli() -> None:
    foreign = {
        "pulumi_aws", "pulumi_azure_native", "pulumi_kubernetes", "pulumi_docker", "pulumi_vault", "boto3", "hvac",
        "typer", "mcp", "jinja2", "vl_convert", "prometheus_client", "watchfiles",
    }  # fmt: skip
    program = "from tests.unit import test_components as t; t.deployed(t.DEV, 'dev')"
    names = [sys.executable, "-c", WATCHED.format(program=program, foreign=foreign | {"pulumi"})]
    done = subprocess.run(names, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['pulumi']"


@pytest.mark.parametrize("deliver", ["variables", "files"])
def test_pulumi_and_the_rotator_never_keep_the_same_line_or_file(deliver: str) -> None:
    deployed = outside(
        "{kind: coreflux, host: mqtt.example.com, client_certificate: true, ca_file: /etc/ca.crt}",
        deliver=deliver,
        declared="{db: {fields: [url, password]}}",
    )
    written = {path for resource in deployed.of_type(FOLDER) for path in resource.inputs["files"]}
    secret_paths = {path for fields in store_of(deployed).files.values() for path in fields.values()}
    assert not delivered(deployed) & lines_of(deployed).keys()
    assert not written & {*secret_paths, "config/.env"}
