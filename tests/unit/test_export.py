"""`secretops export` writes a Swarm's stack as files. tests/stacks/test_swarm.py deploys them."""

import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from components.settings.section import PROJECT_FOLDER
from secretops import cli
from secretops.errors import UsageError
from secretops.manifest import Manifest
from secretops.platforms.swarm import export
from tests.unit.harness import ca_file
from tests.unit.swarm_stack import IMAGE, NETWORK, V3, file_on_swarm, on_swarm, spec

STORE, SERVER = ", rotator: service", f", networks: [{NETWORK}], spread: [node.labels.rack], publish: host"


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("project")
    for name in ("components", "Pulumi.yaml"):
        (folder / name).symlink_to(PROJECT_FOLDER / name)
    ca = ca_file(folder)
    file = file_on_swarm(STORE, SERVER, f', ca_file: "{ca}"')
    sections = {f"coreflux-mcp-secrets:{name}": yaml.safe_load(text) for name, text in file.entries.items()}
    (folder / "Pulumi.prod.yaml").write_text(yaml.safe_dump({"config": sections}))
    local = "config: {'coreflux-mcp-secrets:store': {kind: dotenv}, 'coreflux-mcp-secrets:server': {kind: local}, "
    (folder / "Pulumi.dev.yaml").write_text(f"{local}'coreflux-mcp-secrets:broker': {{kind: embedded}}}}\n")
    return folder


@pytest.fixture(autouse=True)
def in_the_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)


@pytest.fixture(scope="module")
def program(project: Path) -> export.Program:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        return export.load_program("prod")


def document(files: dict[str, str]) -> Any:
    return yaml.safe_load(files[export.COMPOSE])


def test_compose_file_matches_the_program(program: export.Program, project: Path) -> None:
    made = document(export.compose_files(program, ()))
    deployed = on_swarm(STORE, SERVER, f', ca_file: "{project}/ca.crt"')
    for key, name in (("server", "service"), ("rotator", "rotator-service")):
        one, service = made["services"][key], deployed.resources[name].inputs
        container = spec(deployed, name)
        assert f"{program.name}_{key}" == service["name"], "as docker stack deploy calls it"
        assert (one["image"], one["user"], one.get("command", [])) == (IMAGE, container["user"], container["args"])
        assert (one.get("entrypoint", []), one["environment"]) == (container["commands"], container["env"])
        assert (one["read_only"], one["cap_drop"]) == (container["readOnly"], container["capDrops"])
        assert one["stop_grace_period"] == container["stopGracePeriod"]
        assert one["deploy"]["replicas"] == service["mode"]["replicated"]["replicas"]
        assert one["deploy"]["update_config"]["order"] == service["updateConfig"]["order"]
        assert one["deploy"]["update_config"]["failure_action"] == service["updateConfig"]["failureAction"]
        assert one["deploy"]["placement"]["constraints"] == service["taskSpec"]["placement"].get("constraints", [])
        limits = service["taskSpec"]["resources"]["limits"]
        assert int(one["deploy"]["resources"]["limits"]["memory"]) == limits["memoryBytes"]
        named = [made["configs"][each["source"]]["name"] for each in one["configs"]]
        assert named == [each["configName"] for each in container["configs"]]
    check, other = made["services"]["server"]["healthcheck"], spec(deployed, "service")["healthcheck"]
    assert (check["test"], check["interval"], check["retries"]) == (other["tests"], other["interval"], other["retries"])
    assert made["services"]["server"]["ports"] == [{"target": 8080, "protocol": "tcp", "mode": "host"}]
    assert made["networks"]["mcp"]["name"] == deployed.resources["network"].inputs["name"]
    assert made["networks"][NETWORK] == {"external": True, "name": NETWORK}


def test_compose_files_are_complete_and_hold_no_secret(program: export.Program) -> None:
    files = export.compose_files(program, ())
    made = document(files)
    assert {f"./{name}" for name in files if name != export.COMPOSE} == {
        config["file"] for config in made["configs"].values()
    }
    assert "secrets" not in made
    assert Manifest.model_validate_json(files["rotator-manifest"]).stack == "prod"


def test_the_versions_of_now_are_secrets_that_are_there_already(program: export.Program) -> None:
    made = document(export.compose_files(program, [V3]))
    assert made["secrets"] == {V3.secret_name: {"external": True}}
    assert made["services"]["server"]["secrets"] == [
        {"source": V3.secret_name, "target": "mqtt_password", "uid": "10001", "gid": "10001", "mode": 0o400}
    ]
    assert "secrets" not in made["services"]["rotator"]


def test_the_timer_runs_a_tick_in_the_stacks_image_with_the_managers_socket(program: export.Program) -> None:
    files = export.timer_files(program, None)
    unit = files["coreflux-mcp-prod-tick.service"]
    assert f"{IMAGE} tick --scheduled --manifest /etc/coreflux-mcp-prod/secretops.json" in unit
    assert "--volume /var/run/docker.sock:/var/run/docker.sock" in unit
    assert "--cap-drop ALL" in unit
    assert "--hostname %H" in unit, "the access records name it"
    assert "OnCalendar=hourly" in files["coreflux-mcp-prod-tick.timer"]
    assert "\nTimeoutStartSec=3h\n" in files["coreflux-mcp-prod-tick.service"], "no tick hangs forever"
    assert " --name coreflux-mcp-prod-tick --hostname" in unit
    assert "\nExecStopPost=-sh -c 'docker rm --force coreflux-mcp-prod-tick 2>/dev/null'\n" in unit, "nor its container"
    manifest = Manifest.model_validate_json(files["secretops.json"])
    assert manifest.broker.ca_file == "/etc/coreflux-mcp-prod/ca.crt"
    assert files["ca.crt"].startswith("-----BEGIN CERTIFICATE-----")
    assert export.enable_commands(program, Path("my units"), None) == (
        "sudo cp -rT 'my units' /etc/coreflux-mcp-prod",
        "sudo systemctl link /etc/coreflux-mcp-prod/coreflux-mcp-prod-tick.service",
        "sudo systemctl enable --now /etc/coreflux-mcp-prod/coreflux-mcp-prod-tick.timer",
    )


def test_unknown_stack_is_reported_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"\[stack-file-missing\]\n.*dev, prod"):
        export.load_program("production")
    with pytest.raises(UsageError, match=r"\[stack-file-missing\]"):
        export.load_program(None)


def test_silent_end_of_the_program_is_reported_with_its_exit_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("subprocess.run", lambda *_, **__: subprocess.CompletedProcess((), -9, "", ""))
    with pytest.raises(UsageError, match=r"exited with -9 and printed nothing.*\[stack-file-invalid\]"):
        export.load_program("prod")


def test_a_stack_that_is_not_on_a_swarm_is_refused_with_one_code() -> None:
    with pytest.raises(UsageError) as refused:
        export.load_program("dev")
    assert refused.value.code == "export-needs-swarm"
    assert str(refused.value).count("[") == str(refused.value).count("-> ") == 1


def test_export_writes_the_folder_and_prints_the_next_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], program: export.Program
) -> None:
    monkeypatch.setattr(export, "load_program", lambda _stack: program)
    to = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["secretops", "export", "compose", "--stack", "prod", "--first", "--to", str(to)])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert not end.value.code
    assert f"docker stack deploy --compose-file {to}/compose.yaml coreflux-mcp-prod" in "".join(capsys.readouterr())
    assert sorted(path.name for path in to.iterdir()) == ["compose.yaml", "rotator-ca", "rotator-manifest", "server-ca"]


@pytest.mark.parametrize("mask", [0o000, 0o077])
def test_exported_file_is_written_with_mode_644_whatever_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        export.write_files(tmp_path, {"secretops.json": "{}"})
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "secretops.json").stat().st_mode) == 0o644
