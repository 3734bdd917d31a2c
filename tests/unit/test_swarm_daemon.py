"""Which Docker daemon secretops asks, and what it calls things there. Nothing is started or asked here."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

import pytest

pytest.importorskip("docker", reason="Docker's client is not installed: the extra `swarm`")


from secretops.entrypoints import rotator
from secretops.errors import ExitCode, UnreachableError, UsageError
from secretops.manifest import Broker, BrokerKind, Manifest, MqttProtocol, SwarmStore
from secretops.operations import carrying
from secretops.operations.load import MANIFEST_FILE, load_of
from secretops.redaction import HIDDEN, redact
from secretops.stores.swarm import api, daemon
from secretops.stores.swarm.daemon import SOCKET, address_of, registry_login
from secretops.stores.swarm.names import swarm_name
from secretops.stores.swarm.values import MadeSinceError, Mounted
from secretops.task import VARIABLE, actor
from secretops.values import Value, new_password


@pytest.fixture(autouse=True)
def no_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's own contexts are none of the tests'."""
    folder = tmp_path / "docker"
    folder.mkdir()
    monkeypatch.setenv("DOCKER_CONFIG", str(folder))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


def context(folder: Path, name: str, host: str, *, current: bool) -> None:
    """As `docker context create` lays one down."""
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    endpoints = {"docker": {"Host": host, "SkipTLSVerify": False}}
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Metadata": {}, "Endpoints": endpoints}))
    if current:
        (folder / "config.json").write_text(json.dumps({"currentContext": name}))


def test_docker_host_comes_before_a_context_and_a_context_before_the_machines_own_socket(no_config: Path) -> None:
    assert address_of({}) == f"unix://{SOCKET}"
    context(no_config, "prod", "ssh://manager", current=True)
    assert address_of({}) == "ssh://manager"
    context(no_config, "other", "unix:///other.sock", current=False)
    assert address_of({"DOCKER_CONTEXT": "other"}) == "unix:///other.sock"
    assert address_of({"DOCKER_CONTEXT": "other", "DOCKER_HOST": "tcp://h:2376"}) == "tcp://h:2376"


def test_a_name_that_docker_would_not_take_is_refused() -> None:
    assert swarm_name("p_", "mqtt", 3, "ca.crt") == "p_mqtt-v3-ca.crt"
    assert swarm_name("p_", "mqtt", 3) == "p_mqtt-v3"
    for prefix, field in (("p" * 60, "password"), ("p_", "a b"), ("p_", "ends-with-"), ("_p", "x")):
        with pytest.raises(UsageError, match="64 characters"):
            swarm_name(prefix, "mqtt", 3, field)


def manifest(**broker: str) -> Manifest:
    store = SwarmStore(prefix="p_", book="b", instance="i", service="s", uid=1, image="x")
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
    load = load_of(manifest(**{name: str(tmp_path / name) for name in names}), Value({"token": "t"}))
    carried = Manifest.model_validate_json(load.configs[MANIFEST_FILE])
    arrived = {**load.configs, **load.secrets}
    for name, text in texts.items():
        assert arrived[getattr(carried.broker, name)].decode() == text
    assert carried.broker.key_file in load.secrets, "a key is no config"
    assert json.loads(load.secrets["/run/secrets/given"]) == {"token": "t"}
    assert "token" not in str(load.configs)


def test_only_a_schedule_waits_for_a_daemon_that_is_not_there_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The rotator's container may begin before the daemon that starts it answers, and would not try for an hour."""
    monkeypatch.setattr(api, "PATIENCE_SECONDS", 0.02)
    monkeypatch.setattr(api, "_LOOK_AGAIN", 0.01)
    monkeypatch.setattr(daemon, "_address", lambda _environment: (f"unix://{tmp_path}/none.sock", False))

    with pytest.raises(UnreachableError):
        carrying.carry(manifest(), ("tick",))
    assert not caplog.messages
    with pytest.raises(UnreachableError):
        carrying.carry(manifest(), ("tick", "--scheduled"))
    assert "none.sock; waiting for it, at most" in caplog.text


def test_in_a_task_whoever_started_it_is_on_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SECRETOPS_STARTER", "alice@manager-1")
    assert actor("operator") != "operator:alice@manager-1", "of no task: anybody may set a variable"
    monkeypatch.setenv(VARIABLE, "task-1")
    assert actor("operator") == "operator:alice@manager-1"


def logged_in(folder: Path, **more: object) -> str:
    """As `docker login registry.example` leaves Docker's configuration: with a password, which is given back."""
    password = new_password()
    auth = base64.b64encode(f"us:{password}".encode()).decode()
    (folder / "config.json").write_text(json.dumps({"auths": {"registry.example": {"auth": auth}}, **more}))
    return password


def test_an_image_is_pulled_with_the_login_to_its_own_registry_alone(no_config: Path) -> None:
    assert registry_login("registry.example/a/b:1") is None, "nobody has logged in"
    password = logged_in(no_config)
    header = registry_login("registry.example/a/b:1")
    assert header
    assert json.loads(base64.urlsafe_b64decode(header))["password"] == password
    assert redact(f"{password} {header}") == f"{HIDDEN} {HIDDEN}"
    for other in ("other.example/a/b:1", "b:1", "a/b@sha256:0"):
        assert registry_login(other) is None


def test_a_login_that_cannot_be_read_is_told_without_what_it_is(no_config: Path) -> None:
    logged_in(no_config, credHelpers={"registry.example": "nowhere"})
    with pytest.raises(UsageError, match=r"registry\.example can't be read[\s\S]*docker login registry\.example"):
        registry_login("registry.example/a/b:1")
    (no_config / "config.json").write_text(json.dumps({"auths": {"registry.example": {"auth": "no base64"}}}))
    with pytest.raises(UsageError, match=r"registry\.example can't be read"):
        registry_login("registry.example/a/b:1")


def test_a_value_that_is_younger_than_the_task_is_not_told_as_lost(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("text")
    mounted = Mounted(tmp_path, exists=lambda name: name == "young")
    assert mounted.text("old") == "text"
    assert mounted.text("gone") is None
    with pytest.raises(MadeSinceError, match="try again") as raised:
        mounted.text("young")
    assert raised.value.exit_code is ExitCode.BUSY


def test_a_defect_in_a_tick_ends_no_rotator_and_shows_no_value(capsys: pytest.CaptureFixture[str]) -> None:
    value = Value({"password": new_password()})

    def broken() -> int:
        raise KeyError(value["password"])

    rotator.tick(broken)
    said = capsys.readouterr().err
    assert f"KeyError: '{HIDDEN}'" in said
    assert value["password"] not in said
