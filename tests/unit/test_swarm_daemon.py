"""Which Docker daemon secretops uses, and under which names. No process starts, and no request is sent."""

import base64
import json
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")


from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol
from secretops.platforms.swarm import rotator
from secretops.platforms.swarm.daemon import registry_login
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.task import MANIFEST_FILE, VARIABLE, actor, payload_of
from secretops.redaction import HIDDEN, redact
from secretops.values import Value, new_password


def manifest(**broker: str) -> Manifest:
    store = SwarmStoreLocation(prefix="p_", state_config="b", instance="i", service="s", uid=1, image="x")
    reached = Broker(
        kind=BrokerKind.MOSQUITTO,
        host="h",
        port=1,
        protocol=MqttProtocol.V5,
        tls=True,
        **broker,  # type: ignore[arg-type]
    )
    return Manifest(project="p", stack="s", store=store, broker=reached, secrets=(), grace_seconds=1)


def test_the_brokers_files_travel_and_the_tasks_manifest_names_where_they_arrive(tmp_path: Path) -> None:
    names = ("ca_file", "certificate_file", "key_file")
    texts = {name: new_password() for name in names}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    configs, secrets = payload_of(manifest(**{name: str(tmp_path / name) for name in names}), Value({"token": "t"}))
    carried = Manifest.model_validate_json(configs[MANIFEST_FILE])
    arrived = {**configs, **secrets}
    for name, text in texts.items():
        assert arrived[getattr(carried.broker, name)].decode() == text
    assert carried.broker.key_file in secrets, "a key is no config"
    assert json.loads(secrets["/run/secrets/supplied"]) == {"token": "t"}
    assert "token" not in str(configs)


def test_records_of_a_task_name_its_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETOPS_STARTER", "alice@manager-1")
    assert actor("operator") != "operator:alice@manager-1", "of no task: anybody may set a variable"
    monkeypatch.setenv(VARIABLE, "task-1")
    assert actor("operator") == "operator:alice@manager-1"


def test_image_is_pulled_with_its_registrys_login_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    assert registry_login("registry.example/a/b:1") is None, "nobody has logged in"
    password = new_password()
    auth = base64.b64encode(f"us:{password}".encode()).decode()
    (tmp_path / "config.json").write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}}))
    header = registry_login("registry.example/a/b:1")
    assert header
    assert json.loads(base64.urlsafe_b64decode(header))["password"] == password
    assert redact(f"{password} {header}") == f"{HIDDEN} {HIDDEN}"
    for other in ("other.example/a/b:1", "b:1", "a/b@sha256:0"):
        assert registry_login(other) is None


def test_a_defect_in_a_tick_ends_no_rotator_and_shows_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = Value({"password": new_password()})

    def broken() -> int:
        raise KeyError(value["password"])

    rotator.tick(broken)
    output = capsys.readouterr().err
    assert f"KeyError: '{HIDDEN}'" in output
    assert value["password"] not in output
