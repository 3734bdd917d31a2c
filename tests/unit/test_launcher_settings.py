"""How the launcher parses a .env, and finds the server's source or reports that it is missing."""

import hashlib
import json
import os
import secrets
import subprocess
from pathlib import Path

import pytest

from secretops.errors import ExitCode, SecretopsError, StoreError, UsageError, WaitingError
from secretops.launcher import checkout
from secretops.launcher.settings import ServerSettings
from secretops.launcher.sources import open_source
from secretops.manifest import MqttProtocol
from tests.real.upstream import real_server

PASSWORD = secrets.token_hex(20)


def lay_down(root: Path, **variables: str) -> Path:
    (root / "config").mkdir(exist_ok=True)
    env = root / "config" / ".env"
    env.write_text("".join(f"{name}={text}\n" for name, text in variables.items()))
    return env


def read(root: Path, **variables: str) -> ServerSettings:
    complete = {"MQTT_BROKER": "broker.example", "MQTT_USER": "server-a", "MQTT_PASSWORD": PASSWORD} | variables
    lay_down(root, **{name: text for name, text in complete.items() if text})
    return open_source(f"dotenv:{root}").read()


def test_the_guides_shortest_file_is_enough(tmp_path: Path) -> None:
    settings = read(tmp_path)
    assert (settings.broker, settings.port, settings.protocol, settings.tls) == (
        *("broker.example", 1883, MqttProtocol.V5, None),
    )
    assert dict(settings.mqtt) == {"username": "server-a", "password": PASSWORD}
    assert settings.agent_key is None
    assert read(tmp_path, MQTT_USE_TLS="true").port == 8883


def test_every_variable_arrives_where_it_belongs(tmp_path: Path) -> None:
    for name in ("ca.crt", "client.crt", "client.key"):
        (tmp_path / name).write_text("pem")
    settings = read(
        tmp_path, MQTT_PORT="9001", MQTT_PROTOCOL="3.1.1", MQTT_USE_TLS="True", MQTT_CA_CERT=f"{tmp_path}/ca.crt",
        MQTT_CLIENT_CERT=f"{tmp_path}/client.crt", MQTT_CLIENT_KEY=f"{tmp_path}/client.key", MQTT_CLIENT_ID="line-3",
        DO_AGENT_API_KEY=f"{PASSWORD}key", LOG_LEVEL="warning", DO_AGENT_URL="https://it.agents.do-ai.run",
    )  # fmt: skip
    assert settings.agent_url == "https://it.agents.do-ai.run"
    assert settings.port == 9001
    assert settings.protocol is MqttProtocol.V311
    assert settings.tls
    assert settings.tls.key == tmp_path / "client.key"
    assert settings.client_id_prefix == "line-3"
    assert settings.log_level == "WARNING"
    assert settings.agent_key
    assert settings.agent_key["api-key"] == f"{PASSWORD}key"


def test_a_file_variable_gives_its_content_without_one_final_newline(tmp_path: Path) -> None:
    carried = tmp_path / "password"
    carried.write_bytes(f"{PASSWORD}\r\n\n".encode())
    settings = read(tmp_path, MQTT_PASSWORD="", MQTT_PASSWORD_FILE=str(carried))
    assert settings.mqtt["password"] == f"{PASSWORD}\r\n"


def test_nothing_that_is_printed_shows_a_value(tmp_path: Path) -> None:
    settings = read(tmp_path, DO_AGENT_API_KEY=f"{PASSWORD}key")
    assert PASSWORD not in repr(settings)
    assert PASSWORD not in json.dumps(settings.public_variables())


def test_every_secret_that_is_read_is_on_record_with_its_version(tmp_path: Path) -> None:
    for name in ("client.crt", "client.key"):
        (tmp_path / name).write_text("pem")
    read(
        tmp_path, SECRETOPS_VERSION_MQTT="v-1", SECRETOPS_VERSION_AGENT_KEY="v-2",
        DO_AGENT_API_KEY=f"{PASSWORD}key", MQTT_USE_TLS="true", MQTT_CLIENT_CERT=f"{tmp_path}/client.crt",
        MQTT_CLIENT_KEY=f"{tmp_path}/client.key",
    )  # fmt: skip
    text = (tmp_path / "log" / "access.jsonl").read_text()
    found = [(it["secret"], it["version"]) for it in map(json.loads, text.splitlines())]
    assert found == [("mqtt", "v-1"), ("agent-key", "v-2"), ("client-cert", "unknown")]
    assert PASSWORD not in text


def test_a_read_that_cannot_be_recorded_does_not_happen(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("in the way")
    with pytest.raises(StoreError, match="folder-not-a-folder"):
        read(tmp_path)


@pytest.mark.parametrize(("variables", "code"), [
    ({"MQTT_BROKER": ""}, "broker-missing"),
    ({"DO_AGENT_URL": "http://agent.example"}, "server-url-invalid"),
    *(({"MQTT_BROKER": "mqtt://broker"}, "broker-invalid"), ({"MQTT_PORT": "65536"}, "port-invalid")),
    *(({"MQTT_PROTOCOL": "4"}, "setting-invalid"), ({"MQTT_USE_TLS": "yes"}, "setting-invalid")),
    ({"MQTT_PASSWORD_FILE": "/dev/null"}, "value-set-twice"),
    ({"MQTT_PASSWORD": "", "MQTT_PASSWORD_FILE": "/"}, "value-unreadable"),
    ({"MQTT_USE_TLS": "true", "MQTT_CLIENT_CERT": "/dev/null"}, "private-key-unpaired"),
])  # fmt: skip
def test_invalid_setting_is_reported_with_rule_and_remedy(variables: dict[str, str], code: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        read(tmp_path, **variables)
    assert f"[{code}]" in str(caught.value)
    assert "->" in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert PASSWORD not in str(caught.value)
    assert not (tmp_path / "log").exists()


@pytest.mark.parametrize("variables", [
    {"MQTT_PASSWORD": ""},
    {"MQTT_PASSWORD": "", "MQTT_USER": ""},
    {"MQTT_PASSWORD": "", "MQTT_PASSWORD_FILE": "/nonexistent/password"},
])  # fmt: skip
def test_a_password_that_is_not_there_yet_is_waited_for(variables: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(WaitingError, match="secretops tick") as caught:
        read(tmp_path, **variables)
    assert caught.value.exit_code is ExitCode.WAITING


def test_a_client_certificate_that_is_not_there_yet_is_waited_for(tmp_path: Path) -> None:
    missing = {"MQTT_CLIENT_CERT": f"{tmp_path}/a", "MQTT_CLIENT_KEY": f"{tmp_path}/b"}
    with pytest.raises(WaitingError) as caught:
        read(tmp_path, MQTT_USE_TLS="true", **missing)
    assert str(caught.value).count("put client-cert") == 2


def test_an_agent_key_that_is_not_there_yet_does_not_keep_the_server(tmp_path: Path) -> None:
    assert read(tmp_path, DO_AGENT_API_KEY_FILE=f"{tmp_path}/none").agent_key is None


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("COREFLUX_SERVER_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def upstream(tmp_path: Path) -> tuple[str, str]:
    """Return a repository with a server.py, and its commit."""
    folder = tmp_path / "upstream.git"
    folder.mkdir()
    (folder / "server.py").write_text("")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com", "-c", "commit.gpgsign=false"]
    environment = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(folder), *identity, *arguments],
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "server")
    return str(folder), git("rev-parse", "HEAD")


def test_the_server_is_cloned_once_at_the_pinned_commit(
    nowhere: Path, upstream: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkout, "UPSTREAM_REPOSITORY", upstream[0])
    monkeypatch.setattr(checkout, "UPSTREAM_COMMIT", upstream[1])
    first = checkout.find_server()
    monkeypatch.setattr(checkout, "_clone", None)
    assert (first / "server.py").is_file()
    assert checkout.find_server() == first
    assert [path.name for path in first.parent.iterdir()] == [first.name]
    (first / "server.py").write_text("changed")
    with pytest.raises(SecretopsError, match="server-modified"):
        checkout.find_server()


@pytest.mark.parametrize(("path", "mode", "refused"), [
    *((".", 0o755, False), (".", 0o775, True), ("server.py", 0o666, True), ("parser.py", 0o620, True)),
    *(("__pycache__", 0o777, True), ("__pycache__/server.cpython-312.pyc", 0o666, True)),
])  # fmt: skip
def test_a_folder_that_others_may_write_to_is_refused_as_the_server(
    nowhere: Path, monkeypatch: pytest.MonkeyPatch, path: str, mode: int, refused: bool
) -> None:
    folder = nowhere / "named"
    (folder / "__pycache__").mkdir(parents=True)
    for name in ("server.py", "parser.py", "__pycache__/server.cpython-312.pyc"):
        (folder / name).write_text("")
        (folder / name).chmod(0o644)
    (folder / path).chmod(mode)
    monkeypatch.setenv("COREFLUX_SERVER_DIR", str(folder))
    if refused:
        with pytest.raises(UsageError, match="server-writable-by-others"):
            checkout.find_server()
    else:
        assert checkout.find_server() == folder


def test_a_folder_of_another_user_is_refused_as_the_server(
    nowhere: Path, upstream: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COREFLUX_SERVER_DIR", upstream[0])
    if os.getuid() == 0:
        os.chown(upstream[0], 4711, 4711)
    else:
        monkeypatch.setattr("os.getuid", lambda: 4711)
    with pytest.raises(UsageError, match="server-foreign-owner"):
        checkout.find_server()


@pytest.mark.parametrize("tested", [True, False])
def test_a_server_that_is_not_the_tested_one_is_logged(
    nowhere: Path,
    upstream: tuple[str, str],
    tested: bool,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("COREFLUX_SERVER_DIR", upstream[0])
    if tested:
        monkeypatch.setattr(checkout, "UPSTREAM_DIGEST", hashlib.sha256().hexdigest())
    checkout.find_server()
    logged = [checkout.UPSTREAM_COMMIT in line for line in caplog.messages]
    assert logged == ([] if tested else [True])


def test_upstream_of_tests_is_the_pinned_one(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    if not (folder := real_server()):
        pytest.skip("the upstream server is not here: set COREFLUX_SERVER_DIR to its folder")
    monkeypatch.setenv("COREFLUX_SERVER_DIR", str(folder))
    assert checkout.find_server() == folder
    assert caplog.messages == []
