"""A stack with a real broker, as `pulumi up` would leave it: a manifest and the store's folder. Pulumi is not used.

Readers use an independent client, so that the code under test is not its own proof.
"""

from __future__ import annotations

import os
import secrets
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import paho.mqtt.client as mqtt
from dotenv import dotenv_values
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.reasoncodes import ReasonCode

from secretops.engine.state import Version
from secretops.manifest import Broker, Manifest, MqttProtocol, Reader, Secret, SecretKind
from secretops.operations.put import put
from secretops.operations.rotate import rotate
from secretops.operations.session import Session
from secretops.operations.tick import Outcome, tick
from secretops.platforms.dotenv.location import DotenvStoreLocation
from secretops.stores import files
from secretops.values import Value

DEADLINE = 600.0  # Seconds to wait for an event.
PAUSE = 0.05  # Seconds between two logins of a reader, which leave others the processor.
FOLDERS = ("config", "certs", "secrets", "versions", "log")


@dataclass
class Clock:
    """A clock with the real time, which a test moves forward instead of waiting."""

    ahead: timedelta = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def skip(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


@dataclass
class Stack:
    """A stack whose store is a folder, with actions of its operator, its schedule and its server."""

    manifest: Manifest
    clock: Clock = field(default_factory=Clock)
    manifest_file: Path | None = None
    environment: dict[str, str] = field(default_factory=dict)  # Environment of its commands, on top of this process's.

    @property
    def root(self) -> Path:
        assert isinstance(self.manifest.store, DotenvStoreLocation)
        return Path(self.manifest.store.root)

    @property
    def env(self) -> Path:
        return self.root / "config" / ".env"

    @property
    def file(self) -> Path:
        return self.manifest_file or self.root / "config" / "secretops.json"

    def session(self, role: str = "operator") -> Session:
        opened = Session.open(self.manifest, role=role)
        return Session(manifest=opened.manifest, store=opened.store, journal=opened.journal, clock=self.clock)

    def put(self, name: str, fields: Mapping[str, str], *, force: bool = False) -> Version:
        return put(self.session(), name, Value(fields), force=force)

    def rotate(self, name: str = "mqtt", *, force: bool = False) -> Version:
        return rotate(self.session(), name, force=force, notify=lambda _: None, sleep=self.clock.skip)

    def tick(self) -> list[Outcome]:
        return tick(self.session("rotator"))

    def skip_grace(self) -> None:
        self.clock.skip(self.manifest.grace_seconds + 1)

    def credential(self, name: str = "mqtt") -> Value:
        """Return the value of a secret that its reader gets: from the delivery for the server, from the store for the
        rotator."""
        if name == "broker-admin":
            store = self.session().store
            current = store.versions(name).current
            assert current
            return store.read(name, current.id, purpose="test")
        return self.delivered()

    def delivered(self) -> Value:
        delivered = dotenv_values(self.env)
        path = delivered.get("MQTT_PASSWORD_FILE")
        password = Path(path).read_text() if path else delivered["MQTT_PASSWORD"]
        return Value({"username": delivered["MQTT_USER"] or "", "password": password or ""})

    def check_delivery(self, name: str, current: Version, kept: set[str]) -> None:
        """Check that readers get the version `current`, and that only the versions `kept` are stored."""
        if name == "mqtt":
            delivered = dotenv_values(self.env)
            assert delivered["SECRETOPS_VERSION_MQTT"] == current.id
            assert delivered["MINE"], "a person's own line"
        assert isinstance(self.manifest.store, DotenvStoreLocation)
        places = self.manifest.store.files.get(name, {}).values()
        found = {str(path.relative_to(self.root)) for path in self.root.glob("secrets/*")}
        assert found == {place.format(version=one) for place in places for one in kept}
        assert [path.name for path in self.root.rglob("*") if path.name.endswith(".new")] == []

    def spoil(self, name: str, field: str, text: str) -> Callable[[], None]:
        """Write `text` into one field of a delivered secret. Return a function that repairs it."""
        if name == "mqtt":
            path, old = self.env, self.credential()[field]
        else:
            assert isinstance(self.manifest.store, DotenvStoreLocation)
            path = self.root / self.manifest.store.files[name][field]
            old = path.read_text()
        whole = path.read_bytes()
        path.write_bytes(whole.replace(old.encode(), text.encode()))

        def mend() -> None:
            path.write_bytes(whole)

        return mend

    def log_in(self, credential: Value | None = None) -> str:
        return log_in(self.manifest.broker, credential or self.credential())

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "secretops", *arguments, "--manifest", str(self.file)]

    def run(self, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), input=stdin, capture_output=True, text=True, timeout=DEADLINE, check=False,
            env={**os.environ, **self.environment},
        )  # fmt: skip


def make_stack(
    root: Path,
    broker: Broker,
    *,
    delivery: str = "variables",
    grace_seconds: int = 30,
    users: tuple[str, str] | None = None,
    admins: tuple[str, str] | None = None,
) -> Stack:
    """Return a stack with new users at `broker`, and the folder that `pulumi up` would have made for it."""
    store = DotenvStoreLocation(
        root=str(root),
        variables={"mqtt": {"username": "MQTT_USER"}, "agent-key": {"api-key": "DO_AGENT_API_KEY"}, "client-cert": {}},
        files={"client-cert": {name: f"certs/{name}" for name in ("ca.crt", "client.crt", "client.key")}},
        file_variables={
            "client-cert": {"ca.crt": "MQTT_CA_CERT", "client.crt": "MQTT_CLIENT_CERT", "client.key": "MQTT_CLIENT_KEY"}
        },
    )
    store.lines.update(
        MQTT_BROKER=broker.host,
        MQTT_PORT=str(broker.port),
        MQTT_USE_TLS="true" if broker.tls else "false",
        MQTT_PROTOCOL=broker.protocol,
        LOG_LEVEL="INFO",
    )
    if delivery == "files":
        store.files["mqtt"] = {"password": "secrets/mqtt_password-{version}"}
        store.file_variables["mqtt"] = {"password": "MQTT_PASSWORD_FILE"}
    else:
        store.variables["mqtt"]["password"] = "MQTT_PASSWORD"
    manifest = Manifest(
        project="coreflux-mcp-secrets", stack="test", store=store, broker=broker, grace_seconds=grace_seconds,
        secrets=make_catalog(users, admins),
    )  # fmt: skip
    for folder in (root, *(root / name for name in FOLDERS)):
        files.make_folder(folder)
    stack = Stack(manifest)
    stack.file.write_text(manifest.model_dump_json())
    lines = "".join(f"{name}={text}\n" for name, text in store.lines.items())
    stack.env.write_text(f"# Written by pulumi\n{lines}# mine\nMINE=${{HOME}}/x\n")
    stack.env.chmod(files.PRIVATE)
    return stack


def make_catalog(users: tuple[str, str] | None = None, admins: tuple[str, str] | None = None) -> tuple[Secret, ...]:
    """Return the secrets of a stack, by default with new users at the broker."""
    own = secrets.token_hex(4)
    both = (Reader.SERVER, Reader.ROTATOR)
    credential = ("username", "password")
    return (
        Secret(
            name="broker-admin", kind=SecretKind.BROKER_ADMIN, fields=credential, readers=(Reader.ROTATOR,),
            cadence_days=90, users=admins or (f"admin-{own}-a", f"admin-{own}-b"),
        ),
        Secret(
            name="mqtt", kind=SecretKind.MQTT_USER, fields=credential, readers=both, cadence_days=90,
            users=users or (f"user-{own}-a", f"user-{own}-b"),
        ),
        Secret(name="agent-key", kind=SecretKind.AGENT_KEY, fields=("api-key",), readers=both, cadence_days=180),
        Secret(
            name="client-cert", kind=SecretKind.X509, fields=("ca.crt", "client.crt", "client.key"), readers=both,
            cadence_days=365,
        ),
    )  # fmt: skip


def log_in(broker: Broker, credential: Value) -> str:
    """Connect once. Return "Success", or the reason of the refusal."""
    with MqttSession(broker, credential) as session:
        return session.outcome


class MqttSession:
    """An MQTT client that is independent of secretops. It logs in once, and stays connected."""

    def __init__(self, broker: Broker, credential: Value) -> None:
        self._broker = broker
        self._answered, self.ended = threading.Event(), threading.Event()
        self.outcome = "no answer"
        version = mqtt.MQTTv5 if broker.protocol is MqttProtocol.V5 else mqtt.MQTTv311
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=version, reconnect_on_failure=False)
        self._client.connect_timeout = DEADLINE  # paho's default is 5 s
        self._client.username_pw_set(credential["username"], credential["password"])
        if broker.tls:
            context = ssl.create_default_context(cafile=broker.ca_file)
            if broker.certificate_file:
                context.load_cert_chain(broker.certificate_file, broker.key_file)
            self._client.tls_set_context(context)
        self._client.on_connect = self._connected
        self._client.on_disconnect = lambda *_: self.ended.set()

    def __enter__(self) -> MqttSession:
        self._client.connect(self._broker.host, self._broker.port)
        self._client.loop_start()
        self._answered.wait(DEADLINE)
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()
        self._client.on_connect = self._client.on_disconnect = None  # else two sockets stay open until a collection

    def publishes(self, topic: str = "test/alive", text: str = "here", *, retain: bool = False) -> bool:
        message = self._client.publish(topic, text, qos=1, retain=retain)
        message.wait_for_publish(DEADLINE)
        return message.is_published() and not self.ended.is_set()

    def _connected(self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _p: object) -> None:
        self.outcome = reason.getName()
        self._answered.set()


class Turning:
    """`count` threads that repeat `_try`, each independently."""

    def __init__(self, count: int) -> None:
        self._stopping, self._turned = threading.Event(), threading.Condition()
        self._begun, self._ended = [0] * count, [0] * count
        self.failures: list[str] = []
        self._threads = [threading.Thread(target=self._run, args=(index,), daemon=True) for index in range(count)]

    def _try(self, index: int) -> str:
        raise NotImplementedError

    @property
    def connects(self) -> int:
        return sum(self._ended)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()

    def caught_up(self) -> None:
        """Wait until each thread has finished a turn that it began after this call."""
        with self._turned:
            wanted = [begun + 1 for begun in self._begun]
            assert self._turned.wait_for(
                lambda: all(ended >= want for ended, want in zip(self._ended, wanted, strict=True)), DEADLINE
            ), f"one of {type(self).__name__} hangs"

    def _run(self, index: int) -> None:
        while not self._stopping.wait(PAUSE):
            with self._turned:
                self._begun[index] += 1
            try:
                outcome = self._try(index)
            except Exception as error:
                outcome = f"{type(error).__name__}: {error}"
            with self._turned:
                if outcome != "Success":
                    self.failures.append(outcome)
                self._ended[index] += 1
                self._turned.notify_all()


class Readers(Turning):
    """Threads that read the credential from config/.env and log in with it in a loop.

    A reader stops using a replaced credential within the grace period, because a test calls `caught_up` before it moves
    the clock. A broker admin has no grace period, because the rotator reads it under the lease. So a failed login with
    an admin's value that was replaced meanwhile is no failure.
    """

    def __init__(self, stack: Stack, name: str = "mqtt", *, count: int = 1) -> None:
        super().__init__(count)
        self._stack, self._name = stack, name
        # The distinct passwords of each reader, by a number that reveals none.
        self.passwords: list[set[str]] = [set() for _ in range(count)]

    def _kept(self) -> str | None:
        if self._name != "broker-admin":
            return None
        current = self._stack.session().store.versions(self._name).current
        return current.id if current else None

    def _try(self, index: int) -> str:
        before = self._kept()
        try:
            credential = self._stack.credential(self._name)
            outcome = self._stack.log_in(credential)
            if outcome == "Success":
                self.passwords[index].add(str(hash(credential["password"])))
        except Exception as error:
            outcome = f"{type(error).__name__}: {error}"
        if outcome != "Success" and before != self._kept():
            return "Success"
        return outcome
