"""What each source reads, and when its fingerprint changes."""

import json
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from secretops.errors import UsageError
from secretops.launcher.settings import NotYetError
from secretops.launcher.sources import open_source
from secretops.redaction import HIDDEN, redact
from secretops.values import new_password

PASSWORD, KEY = secrets.token_hex(20), secrets.token_hex(20)
PUBLIC = {"MQTT_BROKER": "broker.example", "MQTT_PROTOCOL": "3.1.1"}
TOKEN = secrets.token_hex(20)


@dataclass
class Case:
    """A source, with functions that write its content and change its password or key."""

    name: str
    # Write user server-a, a password and an API key below a folder, and return the --from.
    write: Callable[[Path, str, str], str]


def dotenv(folder: Path, password: str, key: str) -> str:
    (folder / "config").mkdir(exist_ok=True)
    lines = {**PUBLIC, "MQTT_USER": "server-a", "MQTT_PASSWORD": password, "DO_AGENT_API_KEY": key}
    lines |= {"SECRETOPS_VERSION_MQTT": "v-1", "MCP_HTTP_TOKEN": TOKEN, "SECRETOPS_VERSION_HTTP_TOKEN": "v-3"}
    (folder / "config" / ".env").write_text("".join(f"{name}={text}\n" for name, text in lines.items()))
    return f"dotenv:{folder}"


def env_file(folder: Path, password: str, key: str) -> str:
    dotenv(folder, password, key)
    return f"file:{folder}/config/.env"


def mounted(folder: Path, password: str, key: str, dash: str = "-") -> str:
    files = {f"mqtt{dash}user": "server-a", f"mqtt{dash}password": password, f"api{dash}key": key}
    files |= {f"mqtt{dash}version": "v-1", f"http{dash}token": TOKEN, f"http{dash}token{dash}version": "v-3"}
    for name, text in files.items():
        (folder / name).write_text(f"{text}\n")
    return f"files:{folder}"


def document(folder: Path, password: str, key: str) -> str:
    mqtt = {"username": "server-a", "password": password, "version": "v-1"}
    token = {"token": TOKEN, "version": "v-3"}
    (folder / "it.json").write_text(json.dumps({"mqtt": mqtt, "agent-key": {"api-key": key}, "http-token": token}))
    return f"json:{folder}/it.json"


def environment(folder: Path, password: str, key: str) -> str:
    (folder / "password").write_text(password)
    os.environ["MQTT_PASSWORD_FILE"] = str(folder / "password")
    os.environ["DO_AGENT_API_KEY"] = key
    os.environ["MQTT_USER"] = "server-a"
    os.environ |= {"SECRETOPS_VERSION_MQTT": "v-1", "MCP_HTTP_TOKEN": TOKEN, "SECRETOPS_VERSION_HTTP_TOKEN": "v-3"}
    return "env:"


CASES = [
    *(Case("dotenv", dotenv), Case("file", env_file), Case("files", mounted)),
    Case("files, as Swarm names them", lambda folder, password, key: mounted(folder, password, key, "_")),
    *(Case("json", document), Case("env", environment)),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, clean_environment: None) -> Case:
    found: Case = request.param
    return found


@pytest.fixture
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("MQTT_", "DO_", "SECRETOPS_"))}
    monkeypatch.setattr(os, "environ", inherited | PUBLIC)


def test_every_source_gives_the_same_settings(case: Case, tmp_path: Path) -> None:
    settings = open_source(case.write(tmp_path, PASSWORD, KEY)).read()
    assert dict(settings.mqtt) == {"username": "server-a", "password": PASSWORD}
    assert settings.agent_key
    assert settings.agent_key["api-key"] == KEY
    assert (settings.broker, settings.protocol) == ("broker.example", "3.1.1")
    assert settings.http_token and settings.http_token["token"] == TOKEN
    assert (settings.versions["mqtt"], settings.versions["http-token"]) == ("v-1", "v-3")


def test_the_fingerprint_changes_with_a_value_and_shows_none(case: Case, tmp_path: Path) -> None:
    source = open_source(case.write(tmp_path, PASSWORD, KEY))
    first = source.fingerprint()
    assert source.fingerprint() == first
    case.write(tmp_path, secrets.token_hex(20), KEY)
    assert source.fingerprint() != first
    case.write(tmp_path, PASSWORD, KEY)
    assert source.fingerprint() == first
    assert PASSWORD not in first


def test_a_source_registers_what_it_reads_for_redaction(case: Case, tmp_path: Path) -> None:
    password, key = new_password(), new_password()
    open_source(case.write(tmp_path, password, key)).read()
    assert redact(f"{password} {key}") == f"{HIDDEN} {HIDDEN}"


def test_a_document_registers_each_hidden_field_for_redaction(clean_environment: None, tmp_path: Path) -> None:
    text = json.loads((tmp_path / document(tmp_path, PASSWORD, KEY).removeprefix("json:")).read_text())
    private_key, token = new_password(), new_password()
    text["client-cert"] = {"ca.crt": "ca", "client.crt": "crt", "client.key": private_key}
    text["http-token"] = {"token": token}
    (tmp_path / "it.json").write_text(json.dumps(text))
    open_source(f"json:{tmp_path}/it.json").read()
    assert redact(f"{private_key} {token}") == f"{HIDDEN} {HIDDEN}"


def test_a_place_that_goes_away_changes_the_fingerprint_and_raises_nothing(case: Case, tmp_path: Path) -> None:
    source = open_source(case.write(tmp_path, PASSWORD, KEY))
    first, watched = source.fingerprint(), source.folders()
    assert watched
    for path in sorted(tmp_path.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    assert source.fingerprint() != first
    source.folders()
    with pytest.raises((UsageError, NotYetError)):
        source.read()


def test_a_missing_password_is_waited_for_by_the_name_of_its_secret(clean_environment: None, tmp_path: Path) -> None:
    source = open_source(mounted(tmp_path, PASSWORD, KEY))
    (tmp_path / "mqtt-password").unlink()
    with pytest.raises(NotYetError) as caught:
        source.read()
    assert caught.value.secrets == ("mqtt",)


def test_value_of_the_environment_is_used_and_removed_from_it(clean_environment: None) -> None:
    os.environ["MQTT_USER"], os.environ["MQTT_PASSWORD"] = "server-a", PASSWORD
    source = open_source("env:")
    assert "MQTT_PASSWORD" not in os.environ
    assert source.read().mqtt["password"] == PASSWORD
    assert source.read().mqtt["password"] == PASSWORD


def test_a_renewed_certificate_at_the_same_path_makes_other_settings(clean_environment: None, tmp_path: Path) -> None:
    source = open_source(mounted(tmp_path, PASSWORD, KEY))
    for name in ("client.crt", "client.key"):
        (tmp_path / name).write_text("one")
    os.environ["MQTT_USE_TLS"] = "true"
    source = open_source(f"files:{tmp_path}")
    before = source.read()
    assert source.read().link == before.link
    (tmp_path / "client.key").write_text("two")
    assert source.read().link != before.link


@pytest.mark.parametrize("public", [False, True])
def test_the_pem_of_a_document_becomes_a_private_file(public: bool, clean_environment: None, tmp_path: Path) -> None:
    (tmp_path / "broker-ca.crt").write_text("the CA of the broker now")
    if public:
        os.environ["MQTT_CA_CERT"] = str(tmp_path / "broker-ca.crt")
    text = json.loads((tmp_path / document(tmp_path, PASSWORD, KEY).removeprefix("json:")).read_text())
    text["client-cert"] = {"ca.crt": "ca", "client.crt": "crt", "client.key": PASSWORD}
    (tmp_path / "it.json").write_text(json.dumps(text))
    settings = open_source(f"json:{tmp_path}/it.json").read()
    assert settings.tls
    assert settings.tls.key and settings.tls.ca_file
    assert settings.tls.ca_file.read_text() == ("the CA of the broker now" if public else "ca")
    assert settings.tls.key.read_text() == PASSWORD
    assert settings.tls.key.stat().st_mode & 0o777 == 0o600
    assert settings.tls.key.parent.stat().st_mode & 0o777 == 0o700


LACKING = (
    *('{"mqtt": {"username": "x"}}', '{"mqtt": {"password": "x"}}', '{"mqtt": {"version": "v1"}}'),
    *(
        '{"mqtt": {"username": "x", "password": "", "version": "v1"}}',
        '{"agent-key": {"api-key": "", "version": "v1"}}',
    ),
    *('{"http-token": {"token": ""}}', '{"client-cert": {"client.crt": "x"}}', '{"mqtt": {"username": {"a": "x"}}}'),
)


@pytest.mark.parametrize("text", ["", "[]", '{"mqtt": {"user": "x"}}', '{"mqtt": {"password": 7}}', *LACKING])
def test_malformed_document_is_reported_without_content(text: str, clean_environment: None, tmp_path: Path) -> None:
    (tmp_path / "it.json").write_text(text.replace("x", PASSWORD))
    with pytest.raises(UsageError) as caught:
        open_source(f"json:{tmp_path}/it.json").read()
    assert PASSWORD not in str(caught.value)
    assert "->" in str(caught.value)


def test_folder_documents_merge_without_partial_files(clean_environment: None, tmp_path: Path) -> None:
    source = open_source(f"json:{tmp_path}")
    with pytest.raises(NotYetError):
        source.read()
    assert source.folders() == {tmp_path}
    mqtt = {"username": "server-a", "password": PASSWORD, "version": "v-1"}
    (tmp_path / "mqtt.json").write_text(json.dumps({"mqtt": mqtt}))
    (tmp_path / "mqtt.json.tmp1").write_text('{"mqtt": {')
    (tmp_path / ".mqtt.json").write_text('{"mqtt": {')
    before, settings = source.fingerprint(), source.read()
    assert (settings.mqtt["password"], settings.versions["mqtt"], settings.agent_key) == (PASSWORD, "v-1", None)
    (tmp_path / "agent-key.json").write_text(json.dumps({"agent-key": {"api-key": KEY}}))
    assert source.fingerprint() != before
    found = source.read().agent_key
    assert found and found["api-key"] == KEY


def test_missing_folder_is_waited_for_if_named_with_a_slash(clean_environment: None, tmp_path: Path) -> None:
    source = open_source(f"json:{tmp_path}/placed/")
    with pytest.raises(NotYetError) as waiting:
        source.read()
    assert waiting.value.secrets == ("mqtt",)
    with pytest.raises(UsageError, match="does not exist"):
        open_source(f"json:{tmp_path}/placed").read()
    before = source.fingerprint()
    (tmp_path / "placed").mkdir()
    (tmp_path / "placed" / "mqtt.json").write_text(json.dumps({"mqtt": {"username": "server-a", "password": PASSWORD}}))
    assert source.fingerprint() != before
    assert source.read().mqtt["password"] == PASSWORD


def fifo(path: Path) -> None:
    os.mkfifo(path)


def too_large(path: Path) -> None:
    path.write_text("A=1\n" * 512 * 1024)


def folder(path: Path) -> None:
    path.mkdir()


@pytest.mark.parametrize("make", [fifo, too_large, folder])
@pytest.mark.parametrize("variable", ["", "MQTT_PASSWORD_FILE", "MQTT_CA_CERT"], ids=["the .env", "a value", "a CA"])
def test_oversized_or_special_file_is_refused(variable: str, make: Callable[[Path], None], tmp_path: Path) -> None:
    env = tmp_path / ".env"
    if variable:
        env.write_text(f"MQTT_BROKER=localhost\nMQTT_USER=a\nMQTT_USE_TLS=true\n{variable}={tmp_path}/it\n")
    make(tmp_path / "it" if variable else env)
    source = open_source(f"file:{env}")
    assert source.fingerprint() == source.fingerprint()
    with pytest.raises(UsageError, match="it" if variable else "env"):
        source.read()


def test_a_file_whose_name_has_a_nul_is_refused_and_ends_no_poll(tmp_path: Path) -> None:
    env = tmp_path / ".env"
    env.write_text("MQTT_BROKER=localhost\nMQTT_USER=a\nMQTT_PASSWORD_FILE=a\0b\n")
    source = open_source(f"file:{env}")
    assert source.fingerprint() == source.fingerprint()
    with pytest.raises(UsageError, match="MQTT_PASSWORD_FILE"):
        source.read()
