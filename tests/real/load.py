"""MCP clients that call without pause, and a second MQTT client that checks the results."""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import anyio
import paho.mqtt.client as mqtt
from mcp import ClientSession, McpError
from mcp.types import TextContent
from paho.mqtt.enums import CallbackAPIVersion

from secretops.manifest import SecretKind
from secretops.targets import open_target
from secretops.values import Value, new_password
from tests.real.mosquitto import Mosquitto

DEADLINE = 600.0  # Seconds to wait for an event.
CLIENTS = 4  # MCP clients that call, and subscriptions: one topic filter a client.
GROUP = 40  # Messages to one topic: the server's buffer stores the last 100 of each (upstream's server.py:373).
FEED_EVERY = 0.01  # Seconds between an acknowledged message to a subscribed topic and the next.
AGAIN_AFTER = 0.1  # Seconds after which a client whose call failed calls again.


def feed_topic(number: int) -> str:
    """Return the topic of message `number`. Messages go to each client's subscription in turn. GROUP messages share a
    topic."""
    return f"feed/{number % CLIENTS}/{number // (GROUP * CLIENTS)}"


class OtherClient:
    """An MQTT client, independent of the code under test. It receives the server's messages, and sends it messages."""

    def __init__(self, mosquitto: Mosquitto) -> None:
        credential = Value({"username": f"other-{new_password()[:8]}", "password": new_password()})
        open_target(mosquitto.broker(), SecretKind.MQTT_USER).apply(mosquitto.admin, credential)
        # Numbers of the messages that the server published, and how often each arrived.
        self.seen: Counter[int] = Counter()
        self.fed = 0  # Count of messages that the broker acknowledged; they are numbered from 0.
        self._enough = threading.Event()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.connect_timeout = DEADLINE
        self._client.username_pw_set(credential["username"], credential["password"])
        self._client.tls_set_context(ssl.create_default_context(cafile=str(mosquitto.ca_file)))
        self._client.on_connect = lambda client, *_: client.subscribe("said/#", 1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _c, _u, message: self.seen.update([int(message.topic.split("/")[1])])
        self._client.connect("localhost", mosquitto.port)
        self._client.loop_start()
        assert self._subscribed.wait(DEADLINE)

    @contextmanager
    def feeding(self) -> Iterator[None]:
        """Publish a numbered message every FEED_EVERY seconds, each acknowledged before the next."""
        thread = threading.Thread(target=self._feed, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._enough.set()
            thread.join(DEADLINE)

    def _feed(self) -> None:
        while not self._enough.wait(FEED_EVERY):
            text = json.dumps({"number": self.fed})
            self._client.publish(feed_topic(self.fed), text, qos=1).wait_for_publish(DEADLINE)
            self.fed += 1

    def __enter__(self) -> OtherClient:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class Seat:
    """The session of one MCP client. It is missing while the server restarts."""

    def __init__(self, session: ClientSession | None = None) -> None:
        self._session: ClientSession | None = None
        self._there = anyio.Event()
        self._calls: set[anyio.CancelScope] = set()
        if session:
            self.give(session)

    def give(self, session: ClientSession) -> None:
        self._session = session
        self._there.set()

    def take(self) -> None:
        self._there = anyio.Event()
        for scope in self._calls:
            scope.cancel()

    async def call(self, tool: str, arguments: dict[str, object]) -> tuple[bool, str]:
        while not self._there.is_set():
            await self._there.wait()
        assert self._session
        with anyio.CancelScope() as scope:
            self._calls.add(scope)
            try:
                answer = await self._session.call_tool(tool, arguments)
            except (McpError, anyio.ClosedResourceError, anyio.BrokenResourceError) as error:
                return False, f"{type(error).__name__}: {error}"
            finally:
                self._calls.discard(scope)
            text = "\n".join(part.text for part in answer.content if isinstance(part, TextContent))
            return not (answer.isError or "ERROR" in text or "not connected" in text), text
        return False, "the server ended in mid-call"


@dataclass
class Load:
    """The results of calls by CLIENTS clients. Each subscribes, then alternately publishes and reads messages."""

    seats: list[Seat]  # One per client; one for all, where the transport has but one session.
    other: OtherClient
    calls: int = 0
    failures: list[str] = field(default_factory=list)
    output: set[int] = field(default_factory=set)  # Numbers of the messages whose publishing was answered with success.
    # Numbers of the messages to subscribed topics, and how often answers had each.
    read: Counter[int] = field(default_factory=Counter)
    seconds: list[float] = field(default_factory=list)  # Durations of the calls that succeeded.
    # When (time.monotonic) each client got a successful answer.
    answered: list[list[float]] = field(default_factory=lambda: [[] for _ in range(CLIENTS)])
    _numbered: int = 0
    _stopping: bool = False

    async def call_tool(self, client: int, tool: str, **arguments: object) -> str | None:
        """Call a tool. Return its answer, or None if it failed."""
        began = time.monotonic()
        good, text = await self.seats[client % len(self.seats)].call(tool, arguments)
        self.calls += 1
        if not good:
            self.failures.append(f"{tool}: {text}")
            return None
        now = time.monotonic()
        self.seconds.append(now - began)
        self.answered[client].append(now)
        return text

    async def subscribe(self) -> None:
        for client in range(CLIENTS):
            await self.call_tool(client, "mqtt_subscribe", topic=f"feed/{client}/#", qos=1)

    async def run(self) -> None:
        async with anyio.create_task_group() as tasks:
            for client in range(CLIENTS):
                tasks.start_soon(self._client, client)

    def stop(self) -> None:
        self._stopping = True

    async def _client(self, client: int) -> None:
        turn = 0
        while not self._stopping:
            number, self._numbered = self._numbered, self._numbered + 1
            message = json.dumps({"n": number})
            if await self.call_tool(
                client, "mqtt_publish", topic=f"said/{number}", message=message, qos=1 + number % 2
            ):
                self.output.add(number)
                newest = self.other.fed // (GROUP * CLIENTS)
                done = await self.read_topic(client, max(0, newest - turn % 2))
                turn += 1
            else:
                done = False
            if not done:
                await anyio.sleep(AGAIN_AFTER)

    async def read_topic(self, client: int, group: int) -> bool:
        text = await self.call_tool(client, "mqtt_read_messages", topic=f"feed/{client}/{group}", max_messages=100)
        self.read.update(int(number) for number in re.findall(r'"number": (\d+)', text or ""))
        return text is not None

    async def read_all(self) -> None:
        """Read each topic once. `read` counts only these answers."""
        self.read.clear()
        for group in range(self.other.fed // (GROUP * CLIENTS) + 1):
            for client in range(CLIENTS):
                await self.read_topic(client, group)

    async def all_answered(self) -> None:
        before = [len(times) for times in self.answered]
        with anyio.fail_after(DEADLINE):
            while any(len(times) == had for times, had in zip(self.answered, before, strict=True)):
                await anyio.sleep(0.002)

    def lost_publishes(self) -> set[int]:
        return self.output - set(self.other.seen)

    def unread(self) -> set[int]:
        return set(range(self.other.fed)) - set(self.read)
