"""Real MQTT brokers on loopback for tests that only need somebody to answer: users with passwords, no access rules."""

from __future__ import annotations

import asyncio
import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import paho.mqtt.client as mqtt
from amqtt.broker import Broker  # type: ignore[import-untyped]
from amqtt.plugins.base import BaseAuthPlugin  # type: ignore[import-untyped]
from amqtt.session import Session  # type: ignore[import-untyped]
from paho.mqtt.enums import CallbackAPIVersion

DEADLINE = 60
"""Seconds that a test waits for an event before it calls it missing."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def await_listener(port: int) -> None:
    """Until something accepts connections on loopback."""
    waiting = threading.Event()
    for _ in range(DEADLINE * 20):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        waiting.wait(0.05)
    raise TimeoutError(f"nothing listens on port {port}")


class RealBroker(Protocol):
    port: int
    protocol: str

    def start(self) -> None: ...
    def stop(self) -> None: ...
    def set_password(self, user: str, password: str) -> None: ...


class PasswordsOfFile(BaseAuthPlugin):  # type: ignore[misc]
    """Asks a JSON file at every login, so that a test can change it meanwhile."""

    @dataclass
    class Config:
        users: str = ""

    async def authenticate(self, *, session: Session) -> bool:
        users = json.loads(Path(self.config.users).read_text())
        return session.username in users and users[session.username] == session.password


class Amqtt:
    """amqtt in a thread of this process. It speaks MQTT 3.1.1 only."""

    protocol = "3.1.1"

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self._users = folder / "amqtt-users.json"
        self._users.write_text("{}")

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(DEADLINE)

    async def _serve(self) -> None:
        plugin = f"{__name__}.{PasswordsOfFile.__name__}"
        self._broker = Broker(
            {
                "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{self.port}"}},
                "plugins": {plugin: {"users": str(self._users)}},
            }
        )
        await self._broker.start()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._broker.shutdown(), self._loop).result(DEADLINE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(DEADLINE)

    def set_password(self, user: str, password: str) -> None:
        users = json.loads(self._users.read_text())
        self._users.write_text(json.dumps(users | {user: password}))


class Mosquitto:
    """mosquitto as a process, which speaks MQTT 5; with TLS when it is given a certificate."""

    protocol = "5"

    def __init__(self, folder: Path, certificate: Path | None = None, key: Path | None = None) -> None:
        self.port = free_port()
        self._passwords = folder / "mosquitto-users"
        self._config = folder / "mosquitto.conf"
        self._users: dict[str, str] = {}
        self._passwords.touch(mode=0o600)
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous false", f"password_file {self._passwords}"]
        if os.getuid() == 0:
            lines.append("user root")  # it would drop to an account that cannot read the test's folder
        if certificate and key:
            lines += [f"certfile {certificate}", f"keyfile {key}"]
        self._config.write_text("\n".join(lines) + "\n")
        self._process: subprocess.Popen[bytes] | None = None

    @staticmethod
    def program() -> str | None:
        return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")

    def start(self) -> None:
        program = self.program()
        assert program
        self._process = subprocess.Popen([program, "-c", str(self._config)], stderr=subprocess.DEVNULL)
        await_listener(self.port)

    def stop(self) -> None:
        if self._process:
            self._process.terminate()
            self._process.wait(DEADLINE)
            self._process = None

    def set_password(self, user: str, password: str) -> None:
        self._users[user] = password
        self._passwords.write_text("".join(f"{name}:{text}\n" for name, text in self._users.items()))
        subprocess.run(["mosquitto_passwd", "-U", str(self._passwords)], check=True)  # hashes in place
        if self._process:
            self._process.send_signal(signal.SIGHUP)


class Witness:
    """Another MQTT client: sees what arrives at the broker. Independent of the code under test."""

    def __init__(self, broker: RealBroker, user: str, password: str) -> None:
        self.messages: queue.Queue[tuple[str, str]] = queue.Queue()
        self._subscribed = threading.Event()
        protocol = mqtt.MQTTv5 if broker.protocol == "5" else mqtt.MQTTv311
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=protocol)
        self._client.username_pw_set(user, password)
        self._client.on_connect = lambda client, *_: client.subscribe("test/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, message: self.messages.put((message.topic, message.payload.decode()))
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE)

    def say(self, topic: str, text: str, *, retain: bool = False) -> None:
        self._client.publish(topic, text, qos=1, retain=retain).wait_for_publish(DEADLINE)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
