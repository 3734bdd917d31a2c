"""`secretops import`: four sources into each store, over a real broker. Canaries are in the store and nowhere else."""

import base64
import dataclasses
import json
import logging
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from secretops.certificates import new_key, private_pem
from secretops.cli import console
from secretops.engine.ports import VersionStore
from secretops.errors import StoreError, UsageError
from secretops.manifest import Broker, ExternalAgent, Manifest, SecretKind
from secretops.operations.import_values import collect, import_values
from secretops.operations.session import Session
from secretops.platforms.kubernetes.location import Delivered, KubernetesStoreLocation
from secretops.platforms.swarm.location import SwarmFile
from secretops.platforms.swarm.platform import Swarm
from secretops.platforms.swarm.task import VARIABLE
from secretops.stores import env_file
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.gates.conftest import aws_stack, openbao_stack
from tests.gates.test_leak import Canaries, Folder, own_certificate
from tests.real.cloud_stack import CloudStack
from tests.real.digitalocean import digitalocean
from tests.real.mosquitto import Mosquitto
from tests.real.stack import Stack, make_catalog, make_stack
from tests.unit.memory import Memory
from tests.unit.test_cli import run

pytestmark = pytest.mark.real

STRANGE = "/+ =é\"'#\\"
ALL_CODES = (
    "private-key-mismatch", "value-not-tested", "certificate-missing", "broker-access-denied",
    "agent-key-rejected",
)  # fmt: skip
SOURCES = ("env", "folder", "compose", "kubernetes")
FILES = {"MQTT_CA_CERT": "ca.crt", "MQTT_CLIENT_CERT": "client.crt", "MQTT_CLIENT_KEY": "client.key"}
STORES = ("dotenv", "kubernetes", "swarm", "aws", "azure", "vault")
# The stores of a cloud take their time: one pair of them is enough for each commit.
QUICK = ("dotenv", "kubernetes", "swarm")
PAIRS = [
    pytest.param(kind, store, marks=[] if store in QUICK or (kind, store) == ("env", "aws") else pytest.mark.slow)
    for store in STORES
    for kind in SOURCES
]


@dataclasses.dataclass
class Target:
    """A stack of one store, and the outputs that must not contain a value."""

    session: Session
    shown: Callable[[], dict[str, bytes]]


@pytest.fixture
def server(mosquitto: Mosquitto) -> dict[str, Value]:
    """Return the values of a server that runs without secretops."""
    user = Value({"username": f"plant-{new_password()[:8]}", "password": new_password() + STRANGE})
    open_target(mosquitto.broker(), SecretKind.MQTT_USER).apply(mosquitto.admin, user)
    key = Value({"api-key": new_password() + STRANGE.replace(" =é", "=")})
    return {"client-cert": Value(mosquitto.client_certificate()), "mqtt": user, "agent-key": key}


@pytest.fixture
def target(request: pytest.FixtureRequest, tmp_path: Path, mosquitto: Mosquitto) -> Target:
    broker, folder = mosquitto.broker(), tmp_path / "stack"
    folder.mkdir()
    match request.param:
        case "kubernetes":
            return in_namespace(broker, request)
        case "swarm":
            return in_swarm(broker, folder, request)
        case "azure":
            return in_key_vault(broker, folder, request)
        case "dotenv":
            stack = make_stack(folder / "store", broker)
            return Target(stack.session(), Folder(stack.root).shown)
    cloud = cast(CloudStack, (aws_stack if request.param == "aws" else openbao_stack)(folder, broker, request))
    return Target(cloud.session(), cloud.shown)


def on_a_fake(location: Any, store: VersionStore, broker: Broker) -> Session:
    manifest = Manifest(
        project="coreflux-mcp-secrets", stack="test", store=location, broker=broker, grace_seconds=30,
        secrets=make_catalog(),
    )  # fmt: skip
    return Session(manifest=manifest, store=store, journal=Memory("mqtt"))


def delivered(place: Callable[[str], Any]) -> dict[str, dict[str, Any]]:
    """Return a place for each field that the server reads."""
    return {one.name: {name: place(f"{one.name}-{name}") for name in one.fields} for one in make_catalog()[1:]}


def in_namespace(broker: Broker, request: pytest.FixtureRequest) -> Target:
    memory_cluster = pytest.importorskip("tests.unit.memory_cluster")
    place = memory_cluster.at(memory_cluster.fresh(request, Path()))
    places = {name: Delivered(name="values", keys=keys) for name, keys in delivered(str).items()}
    location = KubernetesStoreLocation(namespace="plant", versions="versions", lease="rotator", delivered=places)

    def shown() -> dict[str, bytes]:
        stored = place.client.objects.items()
        return {name: json.dumps(one.metadata.to_dict(), default=str).encode() for (_, name), one in stored}

    return Target(on_a_fake(location, place.open(location), broker), shown)


def in_swarm(broker: Broker, folder: Path, request: pytest.FixtureRequest) -> Target:
    memory_swarm = pytest.importorskip("tests.unit.memory_swarm")
    memory_swarm.quick(request.getfixturevalue("monkeypatch"))
    place = memory_swarm.in_memory(folder)
    location = place.location.model_copy(update={"delivered": delivered(lambda name: SwarmFile(name=name))})
    session = on_a_fake(location, place.open(location), broker)
    return Target(session, lambda: {"objects": json.dumps(place.engine.objects).encode()})


def in_key_vault(broker: Broker, folder: Path, request: pytest.FixtureRequest) -> Target:
    """Return a stack in Key Vault. Its lease is in memory, so that no emulator of Azure Storage is needed."""
    make_azure_stack = pytest.importorskip("tests.real.azure_stack").make_azure_stack
    from secretops.platforms.azure.api import KeyVaultApi
    from secretops.platforms.azure.store import KeyVaultVersionStore
    from tests.unit.lease_blob import BlobInMemory

    blob = BlobInMemory()
    storage = SimpleNamespace(new_blob=lambda _: blob, ahead=None)
    stack = make_azure_stack(folder, broker, request.getfixturevalue("azure"), storage)
    api = KeyVaultApi(stack.place.vault, lambda _: stack.client)
    store = KeyVaultVersionStore(stack.place, api, blob, timing=stack.timing)
    session = Session(manifest=stack.manifest, store=store, journal=store.journal)
    return Target(session, lambda: {"audit": json.dumps(stack.vault.audit, default=str).encode()})


def as_source(kind: str, values: dict[str, Value], folder: Path) -> tuple[str, bytes]:
    """Return the argument of --from, and the standard input, for a source with `values`."""
    certificate, user, key = values["client-cert"], values["mqtt"], values["agent-key"]["api-key"]
    (folder / "certs").mkdir(parents=True)
    for name, text in certificate.items():
        (folder / "certs" / name).write_text(text)
    lines = {
        **{"MQTT_USER": user["username"], "MQTT_PASSWORD": user["password"]},
        **{"DO_AGENT_API_KEY": key, "LOG_LEVEL": "INFO"},
    }
    paths = {name: f"certs/{file}" for name, file in FILES.items()}
    dotenv = "".join(f"{name}={env_file.quote(text)}\n" for name, text in lines.items())
    if kind == "kubernetes":
        data = {**lines, **paths, **certificate}
        encoded = {name: base64.b64encode(text.encode()).decode() for name, text in data.items()}
        secret = {"kind": "Secret", "metadata": {"name": "server"}, "data": encoded}
        return "-", json.dumps({"kind": "List", "items": [secret]}).encode()
    if kind == "compose":
        # Text with a backslash is in the compose file, because Compose parses an env file by rules of its own.
        (folder / "server.env").write_text(f"MQTT_USER={user['username']}\nLOG_LEVEL=INFO\n")
        (folder / "key").write_text(key)
        more = [f"{name}=/app/{path}" for name, path in paths.items()]
        more += [f"MQTT_PASSWORD={user['password']}", "DO_AGENT_API_KEY=", "DO_AGENT_API_KEY_FILE=/run/secrets/key"]
        service = {"env_file": "server.env", "environment": more, "secrets": ["key"], "volumes": ["./certs:/app/certs"]}
        document = {"services": {"server": service}, "secrets": {"key": {"file": "./key"}}}
        (folder / "compose.yaml").write_text(json.dumps(document))
        return str(folder / "compose.yaml"), b""
    if kind == "env":
        dotenv += "".join(f"{name}={path}\n" for name, path in paths.items())
    (folder / ".env").write_text(dotenv)
    return str(folder / ".env" if kind == "env" else folder), b""


@dataclasses.dataclass
class Command:
    """Runs `secretops import` in this process, and records its output."""

    session: Session
    monkeypatch: pytest.MonkeyPatch
    output: bytes = b""

    def run(self, source: str, stdin: bytes, *more: str) -> int:
        """Run the command. On a Swarm, run it again as the task, with the input from the first process."""
        tasks: list[tuple[Any, Value]] = []

        def start(command: Any, *, supplied: Value) -> int:
            tasks.append((command, supplied))
            return 0

        if isinstance(self.session.platform, Swarm):
            self.monkeypatch.delenv(VARIABLE, raising=False)
            self.monkeypatch.setattr(Swarm, "remote_command", lambda *_: start)
        code = self._run("import", "--from", source, *more, stdin=stdin)
        for command, supplied in tasks:
            self.monkeypatch.setenv(VARIABLE, "task")
            self.monkeypatch.setattr(Swarm, "remote_command", lambda *_: None)
            code = self._run(*command, stdin=json.dumps(dict(supplied)).encode())
        return code

    def _run(self, *arguments: str, stdin: bytes) -> int:
        self.monkeypatch.setattr(console, "open_session", lambda *_: self.session)
        stack = Stack(self.session.manifest, manifest_file=Path())
        done = run(stack, *arguments, supplied=stdin, manifest=False)
        self.output += done.stdout + done.stderr
        return done.returncode


def stored(session: Session) -> dict[str, Value]:
    """Return the current values of all secrets."""
    found = {secret.name: session.store.versions(secret.name).current for secret in session.manifest.secrets}
    return {name: session.store.read(name, one.id, purpose="test") for name, one in found.items() if one}


@pytest.mark.parametrize(("kind", "target"), PAIRS, indirect=["target"])
def test_values_of_a_server_are_in_the_store_and_nowhere_else(
    *, kind: str, target: Target, server: dict[str, Value], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    caplog.set_level(logging.DEBUG)
    canaries, command, session = Canaries(), Command(target.session, monkeypatch), target.session
    canaries.learn(server)
    assert canaries.found_in(json.dumps(dict(server["mqtt"])).encode()), "the finder finds nothing"
    source, stdin = as_source(kind, server, tmp_path / "source")
    assert command.run(source, stdin, "--dry-run") == 0, command.output.decode()
    assert b"ready to be imported" in command.output and b"mqtt.password" in command.output
    assert stored(session) == {}
    assert command.run(source, stdin) == 0, command.output.decode()
    assert stored(session) == server
    assert b"broker-admin: no value in the source: secretops put broker-admin" in command.output
    current = {name: session.store.versions(name).current for name in server}
    assert current["mqtt"] and current["mqtt"].verified and current["mqtt"].user == server["mqtt"]["username"]
    assert current["client-cert"] and current["client-cert"].expires
    assert not current["client-cert"].verified, "the broker requires no certificate"
    assert command.run(source, stdin, "--json") == 0
    assert {name: session.store.versions(name).current for name in server} == current, "a repetition changes nothing"
    another = {**server, "agent-key": Value({"api-key": new_password()})}
    assert command.run(*as_source(kind, another, tmp_path / "another")) == 2
    assert b"[import-secret-exists]" in command.output
    assert stored(session) == server
    seen = {**target.shown(), "output": command.output, "log": caplog.text.encode()}
    assert {name: canaries.found_in(text) for name, text in seen.items() if canaries.found_in(text)} == {}


class Failing:
    """A store whose first publication of `secret` fails."""

    def __init__(self, store: VersionStore, secret: str) -> None:
        self._store, self._secret = store, secret

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def publish(self, secret: str, version: str, now: datetime) -> None:
        if secret == self._secret:
            raise StoreError("no space left", code="store-full")
        self._store.publish(secret, version, now)


@pytest.fixture
def stack(tmp_path: Path, mosquitto: Mosquitto) -> Stack:
    return make_stack(tmp_path / "store", mosquitto.broker())


def imported(session: Session, values: dict[str, Value], folder: Path) -> None:
    source, _ = as_source("env", values, folder)
    import_values(session, collect(session.manifest, source, bytes), source)


@pytest.mark.parametrize("failing", ["client-cert", "mqtt", "agent-key"])
def test_failed_write_is_finished_by_the_same_import(
    stack: Stack, server: dict[str, Value], tmp_path: Path, failing: str
) -> None:
    session = stack.session()
    broken = dataclasses.replace(session, store=cast(VersionStore, Failing(session.store, failing)))
    with pytest.raises(StoreError) as refused:
        imported(broken, server, tmp_path / "first")
    assert refused.value.code == "import-unfinished"
    before = list(server)[: list(server).index(failing)]
    assert list(stored(session)) == [one for one in ("mqtt", "agent-key", "client-cert") if one in before]
    imported(session, server, tmp_path / "again")
    assert stored(session) == server


@pytest.mark.parametrize(("wrong", "codes"), [
    ({}, []),
    ({"mqtt": {"password": new_password()}}, ["broker-access-denied"]),
    ({"client-cert": own_certificate()}, ["value-not-tested"]),
    ({"client-cert": {"client.key": private_pem(new_key())}, "agent-key": {"api-key": "wrong"}},
     ["private-key-mismatch", "agent-key-rejected"]),
    ({"mqtt": {"password": "wrong"}, "agent-key": {"api-key": "wrong"}},
     ["broker-access-denied", "agent-key-rejected"]),
    ({"client-cert": None}, ["certificate-missing"]),
])  # fmt: skip
def test_value_that_fails_its_test_imports_nothing(
    *, stack: Stack, server: dict[str, Value], tmp_path: Path, mosquitto: Mosquitto,
    wrong: dict[str, dict[str, str] | None], codes: list[str],
) -> None:  # fmt: skip
    """Each login needs the client certificate, which no store has yet."""
    changes = {"port": mosquitto.mutual_port, "certificate_secret": "client-cert"}
    with digitalocean() as account:
        secrets = tuple(
            one.model_copy(update={"agent": ExternalAgent(url=account.url)}) if one.name == "agent-key" else one
            for one in stack.manifest.secrets
        )
        broker = stack.manifest.broker.model_copy(update=changes)
        stack.manifest = stack.manifest.model_copy(update={"broker": broker, "secrets": secrets})
        server["agent-key"] = Value({"api-key": account.add("server").secret})
        source, _ = as_source("env", server, tmp_path / "source")
        found = collect(stack.manifest, source, bytes)
        values = {
            name: Value({**value, **(wrong.get(name) or {})})
            for name, value in found.values.items()
            if wrong.get(name, {}) is not None
        }
        found = dataclasses.replace(found, values=values)
        if codes:
            with pytest.raises(UsageError) as refused:
                import_values(stack.session(), found, source)
            assert [code for code in ALL_CODES if f"[{code}]" in str(refused.value)] == codes
        else:
            outcome = import_values(stack.session(), found, source)
            assert all(one.tested and one.version and one.version.verified for one in outcome.secrets)
        assert stored(stack.session()) == ({} if codes else server)
