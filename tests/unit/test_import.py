"""What an import reads from each source: entries, problems and what is left over."""

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pytest

from secretops.errors import UsageError
from secretops.manifest import Broker, BrokerKind, ExternalAgent, Manifest, MqttProtocol, OwnedAgent, Reader, Secret
from secretops.operations.import_values import ImportPlan, collect, refuse
from tests.real.stack import make_stack

URL, UUID = "https://plant.agents.do-ai.run", "01234567-89ab-cdef-0123-456789abcdef"
USER = "MQTT_USER=plant\nMQTT_PASSWORD=canary-password\n"
FIELDS = {"mqtt": {"username": "plant", "password": "canary-password"}}
COMPOSE = """
x-logging: &logging {LOG_LEVEL: INFO}
services:
  broker: {image: mosquitto, environment: [TZ=UTC]}
  server:
    environment:
      <<: *logging
      MQTT_USER: ${WHO:-plant}
      MQTT_PASSWORD_FILE: /run/secrets/password
      DO_AGENT_API_KEY: 0123
      MQTT_CA_CERT: ${UNSET}
    env_file: [{path: more.env, required: false}, server.env]
    secrets: [{source: mqtt, target: password}, other]
    volumes: ["./certs:/app/certs:ro", "logs:/app/logs"]
secrets: {mqtt: {file: mqtt.txt}, other: {external: true}}
"""


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="localhost", port=8883, protocol=MqttProtocol.V5, tls=True)
    return make_stack(tmp_path / "store", broker).manifest


def secret_in_json(data: dict[str, bytes | str]) -> bytes:
    encoded = {key: base64.b64encode(one).decode() if isinstance(one, bytes) else one for key, one in data.items()}
    return json.dumps({"kind": "Secret", "metadata": {"name": "s"}, "data": encoded}).encode()


def secrets_in_json(*secrets: dict[str, bytes | str], text: dict[str, str] | None = None) -> bytes:
    """Return a list of Secrets; each has `text` in `stringData`."""
    items = [json.loads(secret_in_json(data)) | {"stringData": text or {}} for data in secrets]
    return json.dumps({"kind": "List", "items": items}).encode()


def read(manifest: Manifest, folder: Path, files: dict[str, str | bytes], source: str = ".env") -> ImportPlan:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return collect(manifest, source if source == "-" else str(folder / source), (folder / "stdin").read_bytes)


def values(found: ImportPlan) -> dict[str, dict[str, str]]:
    return {name: dict(value) for name, value in found.values.items()}


@pytest.mark.parametrize(("files", "source", "expected"), [
    pytest.param({".env": "export MQTT_USER='plant'\nMQTT_PASSWORD=\"a #\\\"$\"  # why\n"}, ".env",
                 {"mqtt": {"username": "plant", "password": 'a #"$'}}, id="the guide's quoting"),
    pytest.param({".env": "P=canary\nMQTT_USER=plant\nMQTT_PASSWORD=${P}-password\n"}, ".env", FIELDS, id="reference"),
    pytest.param({".env": "MQTT_USER=plant\nMQTT_PASSWORD_FILE=p.txt\n", "p.txt": "canary-password\n"}, ".env", FIELDS,
                 id="a relative file"),
    pytest.param({"config/.env": "MQTT_USER=plant\n", "secrets/mqtt_password": "canary-password\n", "api-key": "key\n"},
                 ".", {**FIELDS, "agent-key": {"api-key": "key"}}, id="files of mounted names"),
    pytest.param({"MQTT_USER": "plant", "mqtt_password": "canary-password", "secrets/DO_AGENT_API_KEY": "key\n",
                  "MQTT_CA_CERT": "a", "MQTT_CLIENT_CERT": "b", "client.key": "c"}, ".",
                 {**FIELDS, "agent-key": {"api-key": "key"},
                  "client-cert": {"ca.crt": "a", "client.crt": "b", "client.key": "c"}},
                 id="files of variables' names"),
    pytest.param({".env": f"{USER}MQTT_CA_CERT=/nowhere/ca\nMQTT_CLIENT_CERT=/nowhere/c\nMQTT_CLIENT_KEY=/nowhere/k\n",
                  "certs/ca.crt": "a\n", "certs/tls.crt": "b\n", "certs/client.key": "c\n"}, ".",
                 {**FIELDS, "client-cert": {"ca.crt": "a\n", "client.crt": "b\n", "client.key": "c\n"}},
                 id="the folder's own files for those of a container"),
    pytest.param({"c.yaml": COMPOSE, "mqtt.txt": "canary-password\n", "server.env": "LOT_VERIFIER_API_URL=http://x\n"},
                 "c.yaml", {**FIELDS, "agent-key": {"api-key": "0123"}}, id="compose"),
    pytest.param({"c.yml": "services: {it: {environment: [MQTT_USER, 'MQTT_PASSWORD=$$a$UNSET${P:?no}${P:+.}']}}",
                  ".env": "MQTT_USER=plant\nP=b\nOTHER='$1'\n"}, "c.yml",
                 {"mqtt": {"username": "plant", "password": "$ab."}}, id="compose's references"),
    pytest.param({"stdin": secret_in_json({"mqtt-user": b"plant", "MQTT_PASSWORD": b"canary-password", "x": b"\xff"})},
                 "-", FIELDS, id="kubectl's JSON"),
    pytest.param({"stdin": secrets_in_json({"mqtt-user": b"plant", "pass": b"y"},
                                           {"mqtt-user": b"plant", "MQTT_PASSWORD_FILE": b"/etc/pass", "pass": b"x\n"},
                                           text={"pass": "canary-password"})},
                 "-", FIELDS, id="two Secrets with the same value, and text in place of base64"),
])  # fmt: skip
def test_source_is_read_as_the_server_reads_it(
    manifest: Manifest, tmp_path: Path, files: dict[str, str | bytes], source: str, expected: dict[str, dict[str, str]]
) -> None:
    found = read(manifest, tmp_path, files, source)
    assert not found.problems, found.problems
    assert values(found) == expected
    assert set(found.origins) == {f"{name}.{field}" for name, fields in expected.items() for field in fields}


@pytest.mark.parametrize(("files", "source", "codes"), [
    ({".env": f"{USER}DO_AGENT_API_KEY 'canary\n"}, ".env", ["import-line-malformed"]),
    ({".env": f"{USER}canary-continued\n"}, ".env", ["import-line-malformed"]),
    ({".env": b"MQTT_PASSWORD=\xff"}, ".env", ["import-not-text"]),
    ({}, "missing.env", ["import-source-unreadable"]),
    ({".env": "LOG_LEVEL=INFO\n"}, ".env", ["import-nothing-found"]),
    ({".env": "MQTT_USER=plant\nMQTT_PASSWORD=${UNSET_HERE}\n"}, ".env", ["import-field-missing"]),
    ({".env": f"{USER}DO_AGENT_API_KEY=a\\nb\n"}, ".env", []),
    ({".env": f'{USER}DO_AGENT_API_KEY="a\\nb"\n'}, ".env", ["field-control-character"]),
    ({".env": f"{USER}MQTT_PASSWORD_FILE=p\n", "p": "another"}, ".env", ["import-ambiguous"]),
    ({".env": "MQTT_USER=plant\nMQTT_PASSWORD_FILE=/run/secrets/p\nDO_AGENT_API_KEY_FILE=key\n", "key": b"\xff"},
     ".env", ["import-file-unreadable", "import-not-text"]),
    ({".env": "MQTT_PASSWORD=canary-password\nMQTT_CLIENT_KEY=.env\n"}, ".env",
     ["import-field-missing", "import-field-missing"]),
    ({"c.yaml": "services: {a: {environment: [MQTT_USER=a]}, b: {environment: [MQTT_USER=b]}}"}, "c.yaml",
     ["import-service-unclear"]),
    ({"c.yaml": "services: {a: {environment: [MQTT_USER=a, MQTT_PASSWORD], env_file: [no.env, '${']}}"}, "c.yaml",
     ["import-source-unreadable", "import-source-unreadable", "import-field-missing"]),
    ({"c.yaml": "services: {a: {image: x}}"}, "c.yaml", ["import-service-unclear"]),
    *[({"c.yaml": "services: {a: {env_file: s.env}}", "s.env": f"MQTT_USER=plant\nMQTT_PASSWORD={text}\n"}, "c.yaml",
       ["import-value-unclear"]) for text in ("'canary$1'", "canary$$1", "'canary\\\\1'", "${HOME}")],
    ({"c.yaml": "services: {a: {env_file: [{path: s.env, format: raw}]}}", "s.env": "DO_AGENT_API_KEY='canary'"},
     "c.yaml", ["import-value-unclear"]),
    ({"c.yaml": "services: {a: {environment: ['MQTT_USER=plant', 'MQTT_PASSWORD=${P_OF_ENV}']}}",
      ".env": "P_OF_ENV='canary$1'"}, "c.yaml", ["import-value-unclear", "import-field-missing"]),
    ({"c.yaml": "services: {a: {environment: canary}}"}, "c.yaml", ["import-compose-malformed"]),
    ({"c.yaml": "services: {canary: [}"}, "c.yaml", ["import-compose-malformed"]),
    ({"c.yaml": "services: {a: {environment: {MQTT_USER: a, MQTT_PASSWORD: '${A:-${B}}'}, extends: {service: b}}}"},
     "c.yaml", ["import-service-extended", "import-reference-malformed", "import-field-missing"]),
    ({"c.yaml": COMPOSE.replace("mqtt: {file: mqtt.txt}", "mqtt: {external: true}"), "server.env": ""}, "c.yaml",
     ["import-file-unreadable"]),
    ({"mqtt_user": "plant", "mqtt_password/x": "canary"}, ".", ["import-file-unreadable"]),
    ({"stdin": secrets_in_json({"mqtt-user": b"plant", "mqtt-password": b"a"}, {"mqtt-password": b"b"})}, "-",
     ["import-ambiguous"]),
    ({"stdin": secrets_in_json({"MQTT_USER": b"plant", "MQTT_PASSWORD_FILE": b"/etc/p", "p": b"a"}, {"p": b"b"})}, "-",
     ["import-ambiguous"]),
    ({"stdin": b"canary"}, "-", ["import-secret-malformed"]),
    ({"stdin": b'{"kind": "Secret", "metadata": {}, "data": {"MQTT_PASSWORD": 1}}'}, "-", ["import-secret-malformed"]),
    ({"stdin": secret_in_json({"MQTT_USER": "canary-is-no-base64", "api-key": b"\xff", "MQTT_PASSWORD": b"\xff"})}, "-",
     ["import-base64-malformed", "import-not-text", "import-not-text"]),
])  # fmt: skip
def test_malformed_entry_is_reported_without_its_text(
    manifest: Manifest, tmp_path: Path, files: dict[str, str | bytes], source: str, codes: list[str]
) -> None:
    try:
        problems = list(read(manifest, tmp_path, files, source).problems)
    except UsageError as error:
        problems = [error]
    assert [one.code for one in problems] == codes
    for one in problems:
        assert one.what and one.rule and one.remedy
        assert "canary" not in str(one) and "plant" not in str(one)


def test_left_over_entries_have_a_reason_each(manifest: Manifest, tmp_path: Path) -> None:
    lines = "MQTT_BROKER=x\nMQTT_PORT=8883\nLOG_LEVEL=x\nMINE=1\nDO_AGENT_API_KEY=\nMQTT_CA_CERT=/x\ncanaryB64==\n"
    found = read(manifest, tmp_path, {".env": f"{USER}{lines}MCP_HTTP_TOKEN=x\n"})
    assert values(found) == FIELDS
    assert {one.code: one.what.removeprefix("not imported: ") for one in found.left} == {
        "import-broker-differs": "MQTT_BROKER",
        "import-setting": "MQTT_PORT, LOG_LEVEL",
        "import-entry-unknown": "MINE, line 9",
        "import-entry-empty": "DO_AGENT_API_KEY",
        "import-ca-alone": "MQTT_CA_CERT",
        "import-secret-absent": "MCP_HTTP_TOKEN",
    }
    again = ImportPlan.unpack(json.dumps(dict(found.packed())).encode())
    assert values(again) == FIELDS and again.origins == found.origins
    assert list(map(str, again.left)) == list(map(str, found.left))


@pytest.mark.parametrize("has_certificate", [True, False])
def test_ca_that_the_stack_file_names_is_left_over_as_a_setting(
    manifest: Manifest, tmp_path: Path, has_certificate: bool
) -> None:
    broker = manifest.broker.model_copy(update={"ca_file": "/x"})
    secrets = tuple(one for one in manifest.secrets if has_certificate or one.name != "client-cert")
    changed = manifest.model_copy(update={"broker": broker, "secrets": secrets})
    found = read(changed, tmp_path, {".env": f"{USER}MQTT_CA_CERT=ca\n", "ca": "a"})
    assert [(one.code, one.what) for one in found.left] == [("import-setting", "not imported: MQTT_CA_CERT")]


def test_each_left_over_entry_has_a_remedy_of_its_own(manifest: Manifest, tmp_path: Path) -> None:
    secrets = tuple(one for one in manifest.secrets if one.name != "client-cert")
    lines = "MQTT_CA_CERT=a\nMQTT_CLIENT_CERT=b\nMQTT_CLIENT_KEY=c\nMCP_HTTP_TOKEN=x\nMQTT_PASWORD=x\nMINE=1\n"
    found = read(manifest.model_copy(update={"secrets": secrets}), tmp_path, {".env": USER + lines})
    remedies = {one.what.removeprefix("not imported: "): one.remedy for one in found.left}
    words = {
        "MQTT_CA_CERT": "broker.ca_file", "MQTT_CLIENT_CERT, MQTT_CLIENT_KEY": "broker.client_certificate",
        "MCP_HTTP_TOKEN": "http-token", "MQTT_PASWORD": "did you mean MQTT_PASSWORD?", "MINE": "section secrets",
    }  # fmt: skip
    assert {name: words[name] in remedy for name, remedy in remedies.items()} == dict.fromkeys(words, True)
    assert all(words[name] not in remedies[other] for name in list(words)[:4] for other in words if other != name)


def test_each_problem_of_a_refused_import_is_an_indented_item() -> None:
    problems = [UsageError(name, rule="one\ntwo", remedy="do", code="c") for name in ("a", "b")]
    with pytest.raises(UsageError) as refused:
        refuse(".env", problems)
    indents = [(len(line) - len(line.lstrip()), line.lstrip()) for line in str(refused.value).splitlines()[1:-1]]
    assert indents == [(2, "a [c]"), (4, "one"), (4, "two"), (4, "-> do"),
                       (2, "b [c]"), (4, "one"), (4, "two"), (4, "-> do")]  # fmt: skip


@pytest.mark.parametrize(("change", "expected"), [
    (lambda one: one.model_copy(update={"agent": OwnedAgent(url=URL, id=UUID, prefix="p")}), "import-secret-made"),
    (lambda secret: secret.model_copy(update={"agent": ExternalAgent(url=URL)}), None),
    (lambda secret: secret.model_copy(update={"readers": (Reader.ROTATOR,)}), "import-entry-unknown"),
])  # fmt: skip
def test_secret_that_the_server_does_not_supply_is_left_over(
    manifest: Manifest, tmp_path: Path, change: Callable[[Secret], Secret], expected: str | None
) -> None:
    secrets = tuple(change(one) if one.name == "agent-key" else one for one in manifest.secrets)
    found = read(
        manifest.model_copy(update={"secrets": secrets}), tmp_path, {".env": f"{USER}DO_AGENT_API_KEY=canary\n"}
    )
    assert ("agent-key" in found.values) is (expected is None)
    assert [one.code for one in found.left] == ([expected] if expected else [])
    assert not found.problems
