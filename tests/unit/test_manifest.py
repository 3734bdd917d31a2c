"""An invalid manifest is rejected before any change. The error has each invalid value, its rule and a remedy."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from secretops.engine.state import Stage, Version
from secretops.errors import StoreError, UsageError
from secretops.launcher.sources import open_source
from secretops.manifest import Broker, BrokerKind, Manifest, ManifestError, MqttProtocol
from secretops.manifest.validation_errors import MOST_ERRORS
from secretops.operations.stack import load_manifest
from secretops.printable import printable
from secretops.stores import files
from secretops.values import Value
from tests.real.embedded import Embedded
from tests.real.stack import Stack, make_stack
from tests.unit.test_cli import refused, run

PASSWORD = "canary-of-the-admin"
AT = datetime(2026, 1, 1, tzinfo=UTC)
VAULT = {
    "kind": "vault", "address": "https://vault.example.com:8200", "mount": "coreflux-mcp-test",
    "secrets": {"mqtt": "mqtt"}, "pending": {"mqtt": "pending/mqtt"}, "lease": "rotator/lease",
    "login": {"method": "approle", "mount": "approle", "role": "rotator", "file": "/etc/vault/secret-id"},
}  # fmt: skip
AZURE = {
    "kind": "azure",
    "tenant": "00000000-0000-0000-0000-00000000aaaa",
    "vault": "https://vault.vault.azure.net",
    "secrets": {"mqtt": "mqtt"},
    "pending": {"mqtt": "mqtt-pending"},
    "lease": "https://account.blob.core.windows.net/lease/rotator",
}
AWS = {
    "kind": "aws",
    "account": "123456789012",
    "region": "eu-central-1",
    "secrets": {"mqtt": "coreflux-mcp/test/mqtt"},
    "lease": "arn:aws:dynamodb:eu-central-1:123456789012:table/coreflux-mcp-test-lease",
}
SWARM = {
    "kind": "swarm",
    **dict.fromkeys(("prefix", "state_config", "instance", "service"), "coreflux-mcp-test_x"),
    "delivered": {"mqtt": {"password": {"name": "mqtt_password"}}},
    "uid": 10001,
    "image": "coreflux-mcp-secrets:1",
}
KUBERNETES = {"kind": "kubernetes", "namespace": "plant", "versions": "versions", "lease": "rotator"}

HOSTILE: list[tuple[str, dict[str, Any] | None, Any, str]] = [
    # place, the store in place of the folder, the value, a word of the rule
    ("secrets.1.name", None, "../../victim", "a secret's name"),
    ("secrets.1.name", None, "mqtt/../../victim", "a secret's name"),
    ("secrets.1.fields", None, ["../password"], "a field's name"),
    ("secrets.1.users", None, ["user-a"], "two users"),
    ("secrets.1.users", None, ["user\x1b]0;owned\x07", "b"], "a broker user"),
    ("secrets.1.cadence_days", None, 0, "days"),
    ("secrets.2.agent", None, {"kind": "external", "url": "http://agent.example.com"}, "https"),
    ("secrets.2.agent", None, {"kind": "external", "url": "https://me@agent.example.com"}, "https"),
    ("secrets.2.agent", None, {"kind": "external", "url": "https://agent.example.com/path"}, "https"),
    ("stack", None, "../../prod", "a stack's name"),
    ("grace_seconds", None, -1, "seconds"),
    ("replicas", None, 10**9, "from 1 to 100"),
    ("broker.host", None, "mqtt.example.com/x", "a host's name"),
    ("broker.host", None, "0.0.0.0", "a host's name"),
    ("broker.port", None, 0, "from 1 to 65535"),
    ("broker.tls", None, False, "TLS"),
    ("broker.embedded", None, True, "embedded broker"),
    ("broker.home", None, "/root/.ssh", "TLS"),
    ("broker.ca_file", None, "/etc/ssl/../shadow", "absolute path"),
    ("broker.topics", None, ["a/#/b"], "topic filter"),
    ("broker.groups", None, ["-requestId"], "a broker's group"),
    ("store.root", None, "/", "absolute path"),
    ("store.root", None, "/etc", "its own folder"),
    ("store.root", None, "relative/store", "absolute path"),
    ("store.variables", None, {"mqtt": {"username": "LD_PRELOAD"}}, "a library or a client"),
    ("store.variables", None, {"mqtt": {"username": "MQTT_BROKER"}}, "a library or a client"),
    ("store.variables", None, {"mqtt": {"username": "A\nB"}}, "a variable's name"),
    ("store.files", None, {"mqtt": {"password": "../../victim/file"}}, "certs/ or secrets/"),
    ("store.files", None, {"mqtt": {"password": "/etc/cron.d/x"}}, "certs/ or secrets/"),
    ("store.files", None, {"mqtt": {"password": "versions/mqtt/state.json"}}, "certs/ or secrets/"),
    ("store.files", None, {"mqtt": {"password": "secrets/{version.__class__}"}}, "certs/ or secrets/"),
    ("store.files", None, {"mqtt": {"password": "secrets/*"}}, "certs/ or secrets/"),
    ("store.address", VAULT, "http://vault.example.com:8200", "https"),
    ("store.address", VAULT, "https://vault.example.com:8200/v1/../x?y", "https"),
    ("store.secrets", VAULT, {"mqtt": "../sys/policy"}, "a path of Vault"),
    ("store.login.mount", VAULT, "../../sys/raw", "a path of Vault"),
    ("store.login.file", VAULT, "vault-token", "absolute path"),
    ("store.vault", AZURE, "https://vault.vault.azure.net.example.com", "goes to no other host"),
    ("store.lease", AZURE, "https://collector.example.com/c/b", "goes to no other host"),
    ("store.account", AWS, "１２３４５６７８９０１２", "twelve digits"),
    ("store.secrets", AWS, {"mqtt": "arn:aws:secretsmanager:x"}, "Secrets Manager"),
    ("store.delivered", SWARM, {"mqtt": {"password": {"name": "../passwd"}}}, "without a slash"),
    ("store.namespace", KUBERNETES, "plant/../kube-system", "DNS label"),
    ("store.kind", None, "floppy", "one of dotenv"),
    ("store.extra", None, "x", "must not have this key"),
]


@pytest.fixture
def stack(tmp_path: Path) -> Stack:
    broker = Broker(kind=BrokerKind.MOSQUITTO, host="127.0.0.1", port=1, protocol=MqttProtocol.V5, tls=True)
    made = make_stack(tmp_path / "store", broker)
    store = made.session().store
    version = Version(id="v1", stage=Stage.PENDING, created=AT, user="admin")
    store.add("broker-admin", version, Value({"username": "admin", "password": PASSWORD}))
    store.publish("broker-admin", "v1", AT)
    return made


@pytest.fixture
def canary(tmp_path: Path) -> Iterator[None]:
    victim = tmp_path / "victim"
    victim.mkdir()
    (victim / "file").write_text("canary")
    yield
    assert {path.name: path.read_text() for path in victim.iterdir()} == {"file": "canary"}


def changed(stack: Stack, place: str, value: Any, store: dict[str, Any] | None = None) -> None:
    """Write the manifest with `value` at `place`."""
    document = json.loads(stack.manifest.model_dump_json())
    document["store"] = store or document["store"]
    document = json.loads(json.dumps(document))
    *above, last = place.split(".")
    inner = document
    for part in above:
        inner = inner[int(part)] if isinstance(inner, list) else inner[part]
    inner[int(last) if isinstance(inner, list) else last] = value
    stack.file.write_text(json.dumps(document))


@pytest.mark.parametrize(("place", "store", "value", "rule"), HOSTILE, ids=lambda it: it if isinstance(it, str) else "")
@pytest.mark.usefixtures("canary")
def test_a_hostile_manifest_is_refused(
    stack: Stack, place: str, store: dict[str, Any] | None, value: Any, rule: str
) -> None:
    changed(stack, place, value, store)
    for command in (["tick"], ["put", "mqtt", "--json"]):
        done = run(stack, *command, supplied=b'{"username": "a", "password": "b"}')
        printed = [printable(value)] if isinstance(value, str) else []
        refused(done, 2, rule, "->", place.partition(".")[0], *printed)
        assert all(character.isprintable() or character == "\n" for character in done.stderr.decode())


def test_the_base_of_each_hostile_manifest_is_accepted(stack: Stack) -> None:
    for store in (None, VAULT, AZURE, AWS, SWARM, KUBERNETES):
        changed(stack, "replicas", 2, store)
        text = stack.file.read_text()
        for exported in (text, json.dumps(text)):  # a component of another language exports the object as text
            stack.file.write_text(exported)
            assert load_manifest(None, stack.file).replicas == 2


def test_all_errors_of_a_manifest_are_reported_at_once_and_capped(stack: Stack) -> None:
    changed(stack, "store.variables", {f"../{number}": {"a": "PATH"} for number in range(1000)})
    with pytest.raises(ManifestError) as caught:
        load_manifest(None, stack.file)
    assert str(caught.value).count("a secret's name") <= MOST_ERRORS < 1000
    assert "more" in str(caught.value)


def test_a_manifest_that_others_can_write_is_refused(stack: Stack) -> None:
    stack.file.chmod(0o666)
    with pytest.raises(UsageError, match="other accounts can write"):
        load_manifest(None, stack.file)


@contextmanager
def listener() -> Iterator[tuple[int, list[bytes]]]:
    seen: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def take() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.settimeout(1)
                    seen.append(client.recv(4096))

        thread = threading.Thread(target=take, daemon=True)
        thread.start()
        yield server.getsockname()[1], seen
        server.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("how", ["tls", "plain", "embedded"])
def test_a_listener_on_the_brokers_port_sees_no_password(stack: Stack, how: str) -> None:
    with listener() as (port, seen):
        changed(stack, "broker.port", port)
        if how == "plain":
            stack.file.write_text(stack.file.read_text().replace('"tls": true', '"tls": false'))
        if how == "embedded":
            broker = Embedded(stack.root / "broker", port, Value({})).broker()
            changed(stack, "broker", json.loads(broker.model_dump_json()))
        done = run(stack, "tick")
    assert done.returncode in (1, 2, 3, 5)
    assert not any(PASSWORD.encode() in sent for sent in seen)
    assert bool(seen) is (how == "tls"), "only a TLS greeting is sent"


def _link(path: Path, to: Path) -> None:
    if path.is_dir():
        path.rename(path.with_name(f"{path.name}.away"))
    else:
        path.unlink(missing_ok=True)
    path.symlink_to(to)


def _open_units(root: Path, _: Path) -> None:
    (root / "systemd").mkdir()
    (root / "systemd").chmod(0o777)


OPEN: dict[str, Callable[[Path, Path], object]] = {
    "root 777": lambda root, _: root.chmod(0o777),
    "root 770": lambda root, _: root.chmod(0o770),
    "config 777": lambda root, _: (root / "config").chmod(0o777),
    "versions 772": lambda root, _: (root / "versions").chmod(0o772),
    "a secret's versions 777": lambda root, _: (root / "versions" / "broker-admin").chmod(0o777),
    "systemd 777": _open_units,
    "log 777": lambda root, _: (root / "log").chmod(0o777),
    "versions linked": lambda root, victim: _link(root / "versions", victim),
    "log linked": lambda root, victim: _link(root / "log", victim),
    ".lock linked": lambda root, victim: _link(root / ".lock", victim / "file"),
    ".lease linked": lambda root, victim: _link(root / ".lease", victim / "file"),
    "access.jsonl linked": lambda root, victim: _link(root / "log" / "access.jsonl", victim / "file"),
    "rotation.jsonl linked": lambda root, victim: _link(root / "log" / "rotation.jsonl", victim / "file"),
    ".env linked": lambda root, victim: _link(root / "config" / ".env", victim / "file"),
}


@pytest.mark.parametrize("spoil", OPEN.values(), ids=OPEN.keys())
@pytest.mark.usefixtures("canary")
def test_writable_folder_or_link_is_refused(
    stack: Stack, tmp_path: Path, spoil: Callable[[Path, Path], object]
) -> None:
    spoil(stack.root, tmp_path / "victim")
    for command in (["status"], ["tick"], ["rotate", "mqtt"], ["put", "agent-key", "--untested"]):
        done = run(stack, *command, supplied=b"a-key-of-an-agent")
        refused(done, 1, str(stack.root), "->")


@pytest.mark.parametrize("name", ["root 777", "config 777", ".env linked", "access.jsonl linked", "log linked"])
@pytest.mark.usefixtures("canary")
def test_the_launcher_refuses_the_same_folder(stack: Stack, tmp_path: Path, name: str) -> None:
    stack.env.write_text(
        "MQTT_BROKER=localhost\nMQTT_USER=a\nMQTT_PASSWORD=not-a-real-one\nSECRETOPS_VERSION_MQTT=v1\n"
    )
    OPEN[name](stack.root, tmp_path / "victim")
    with pytest.raises(StoreError, match=str(stack.root)):
        open_source(f"dotenv:{stack.root}").read()


def test_write_leaves_alone_what_a_planted_temporary_file_is_a_link_to(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "state.json"
    victim.write_text("of somebody")
    os.link(victim, files.temporary(path))
    files.write(path, b"new", files.PRIVATE)
    assert (victim.read_text(), path.read_text()) == ("of somebody", "new")


def test_a_version_id_that_leads_elsewhere_is_refused(stack: Stack) -> None:
    state = stack.root / "versions" / "broker-admin" / "state.json"
    state.write_text(state.read_text().replace('"v1"', '"../../../../victim/file"'))
    with pytest.raises(StoreError, match="dotenv-version-invalid"):
        stack.session().store.read("broker-admin", "../../../../victim/file", purpose="test")


def test_manifest_round_trips(stack: Stack) -> None:
    assert Manifest.parse(stack.manifest.model_dump_json(), "it") == stack.manifest
