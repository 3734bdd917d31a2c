"""The server's users feel nothing: calls without pause through every way in which a credential changes.

The real upstream server where it can be had (else the small one) under the launcher over stdio; rotations by the real
engine on mosquitto with TLS, client certificates and dynamic security. Every call is counted, every acknowledged
publish has to reach a witness, and every message to a subscribed topic the server's buffer.
"""

from __future__ import annotations

import json
import re
import ssl
import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import paho.mqtt.client as mqtt
import pytest
from mcp import ClientSession
from mcp.types import TextContent
from paho.mqtt.enums import CallbackAPIVersion

from secretops.engine.state import Replica
from secretops.manifest import SecretKind
from secretops.operations.status import status
from secretops.replicas import read_reports
from secretops.targets import open_target
from secretops.targets.connection import Connection
from secretops.targets.mosquitto import DynamicSecurity
from secretops.values import Value, new_password
from tests.real.launched import command, environment
from tests.real.mcp_client import stdio_session
from tests.real.mosquitto import Mosquitto
from tests.real.stack import Stack, make_stack

pytestmark = pytest.mark.real

ROTATIONS = 10
LEAST_CALLS = 500
DEADLINE = 120
GROUP = 40
"""Messages to one topic: upstream's buffer keeps the last 100 of each."""


class Other:
    """Another client of the broker, independent of the code under test: sees what the server says, and feeds it."""

    def __init__(self, mosquitto: Mosquitto, credential: Value) -> None:
        self.seen: Counter[int] = Counter()
        self.fed = 0
        self._feeding = threading.Event()
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
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
        """A numbered message to feed/<group> every few ms, each acknowledged by the broker before the next."""
        thread = threading.Thread(target=self._feed, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._feeding.set()
            thread.join(DEADLINE)

    def _feed(self) -> None:
        while not self._feeding.wait(0.01):
            text = json.dumps({"number": self.fed})
            self._client.publish(f"feed/{self.fed // GROUP}", text, qos=1).wait_for_publish(DEADLINE)
            self.fed += 1

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@dataclass
class Load:
    """What the MCP client's calls came to."""

    session: ClientSession
    calls: int = 0
    said: int = 0
    failures: list[str] = field(default_factory=list)
    stopping: bool = False

    async def tell(self, tool: str, **arguments: object) -> str:
        answer = await self.session.call_tool(tool, arguments)
        text = "\n".join(part.text for part in answer.content if isinstance(part, TextContent))
        self.calls += 1
        if answer.isError or "ERROR" in text or "not connected" in text:
            self.failures.append(f"{tool}: {text}")
        return text

    async def publishing(self) -> None:
        while not self.stopping:
            number, self.said = self.said, self.said + 1
            await self.tell(
                "mqtt_publish", topic=f"said/{number}", message=json.dumps({"n": number}), qos=1 + number % 2
            )

    async def reading(self) -> None:
        while not self.stopping:
            await self.tell("mqtt_read_messages", topic="feed/0", max_messages=5)

    async def received(self, groups: int) -> Counter[int]:
        found: Counter[int] = Counter()
        for group in range(groups):
            text = await self.tell("mqtt_read_messages", topic=f"feed/{group}", max_messages=100)
            found.update(int(number) for number in re.findall(r'"number": (\d+)', text))
        return found


@dataclass
class Place:
    """The stack, its launcher's log, and how to wait for what the launcher says."""

    stack: Stack
    log: Path
    server: Path

    def session(self, source: str) -> AbstractAsyncContextManager[ClientSession]:
        """The launcher on `source`, and an MCP client of it."""
        return stdio_session(command(source), environment(self.server), self.log.parent, self.log)

    def reports(self) -> tuple[Replica, ...]:
        users = self.stack.manifest.secret("mqtt").users
        return read_reports(self.stack.manifest.broker, self.stack.credential(), users)

    async def until(self, what: str, check: Callable[[], bool]) -> None:
        with anyio.move_on_after(DEADLINE):
            while not await anyio.to_thread.run_sync(check):
                await anyio.sleep(0.05)
            return
        pytest.fail(f"not within {DEADLINE} s: {what}\n{self.log.read_text()[-3000:]}")

    async def until_logged(self, text: str, times: int = 1) -> None:
        await self.until(text, lambda: self.log.read_text().count(text) >= times)

    async def until_all_are_on(self, version: str) -> None:
        """Every server reports `version`, and there is one: the client before has taken its report back."""

        def reported() -> bool:
            reports = self.reports()
            return len(reports) == 1 and reports[0].version == version

        await self.until(f"all are on {version}", reported)

    def swaps(self) -> list[int]:
        return [int(found) for found in re.findall(r"took over after (\d+) ms", self.log.read_text())]


@pytest.fixture
def place(tmp_path: Path, mosquitto: Mosquitto, server_folder: Path) -> Place:
    stack = make_stack(tmp_path / "store", mosquitto.broker(), grace_seconds=3600)
    stack.put("broker-admin", dict(mosquitto.admin))
    more = {"MQTT_PORT": mosquitto.mutual_port, "MQTT_USE_TLS": "true", "MQTT_PROTOCOL": "5"}
    stack.env.write_text(stack.env.read_text() + "".join(f"{name}={text}\n" for name, text in more.items()))
    stack.put("client-cert", mosquitto.client_certificate())
    stack.put("agent-key", {"api-key": new_password()})
    stack.rotate()
    (tmp_path / "cwd").mkdir()
    return Place(stack, tmp_path / "cwd" / "log", server_folder)


@pytest.fixture
def other(place: Place, mosquitto: Mosquitto) -> Iterator[Other]:
    credential = Value({"username": f"other-{new_password()[:8]}", "password": new_password()})
    open_target(mosquitto.broker(), SecretKind.MQTT_USER).apply(mosquitto.admin, credential)
    made = Other(mosquitto, credential)
    yield made
    made.close()


async def rotations(place: Place) -> None:
    """The grace is an hour: only the reports let the next one retire the user before, whose sessions end with that."""
    stack = place.stack
    for _ in range(ROTATIONS):
        version = await anyio.to_thread.run_sync(stack.rotate)
        await place.until_all_are_on(version.id)
    before = stack.credential()
    await anyio.to_thread.run_sync(stack.tick)
    idle = next(user for user in stack.manifest.secret("mqtt").users if user != before["username"])
    versions = stack.session().store.versions("mqtt")
    assert versions.previous
    assert versions.previous.retired, "the idle user was not scrambled, although every server reported"
    assert versions.previous.user == idle


async def another_certificate_and_key(place: Place, mosquitto: Mosquitto) -> None:
    stack = place.stack
    done = len(place.swaps())
    await anyio.to_thread.run_sync(lambda: stack.put("client-cert", mosquitto.client_certificate("another")))
    await place.until("the certificate's swap", lambda: len(place.swaps()) > done)

    key = await anyio.to_thread.run_sync(lambda: stack.put("agent-key", {"api-key": new_password()}))
    await place.until_logged(f"On version {key.id} of agent-key now")


async def broken_versions_and_their_repair(place: Place) -> None:
    stack, right = place.stack, place.stack.credential()["password"]
    key = stack.root / "certs" / "client.key"
    whole = stack.env.read_bytes()
    stack.env.write_bytes(whole.replace(right.encode(), b"this-is-not-the-password"))
    await place.until_logged("refused the connection")
    stack.env.write_bytes(whole)
    good = key.read_bytes()
    key.write_bytes(b"-----BEGIN PRIVATE KEY-----\nbroken\n")
    await place.until_logged("they are PEM files")
    key.write_bytes(good)
    last = await anyio.to_thread.run_sync(stack.rotate)
    await place.until_all_are_on(last.id)
    standing = next(one for one in status(stack.session()) if one.name == "mqtt")
    assert standing.told_replicas == "1 current"


def test_no_call_fails_through_rotations_retirements_certificates_keys_and_broken_versions(
    place: Place, other: Other, mosquitto: Mosquitto
) -> None:
    stack = place.stack

    async def scenario() -> tuple[Load, Counter[int]]:
        async with place.session(f"dotenv:{stack.root}") as session:
            load = Load(session)
            await load.tell("mqtt_subscribe", topic="feed/#", qos=1)
            with other.feeding():
                async with anyio.create_task_group() as tasks:
                    for work in (load.publishing, load.publishing, load.reading):
                        tasks.start_soon(work)
                    await rotations(place)
                    await another_certificate_and_key(place, mosquitto)
                    await broken_versions_and_their_repair(place)
                    while load.calls < LEAST_CALLS:
                        await anyio.sleep(0.1)
                    load.stopping = True
            await place.until("every acknowledged publish", lambda: len(other.seen) >= load.said)
            received: Counter[int] = Counter()
            with anyio.move_on_after(DEADLINE):
                while len(received := await load.received(other.fed // GROUP + 1)) < other.fed:
                    await anyio.sleep(0.2)
            return load, received

    load, received = anyio.run(scenario)
    log = place.log.read_text()
    swaps = place.swaps()
    twice = sum(count > 1 for count in received.values())
    print(
        f"{load.calls} calls, {len(load.failures)} failed; {load.said} published, {len(other.seen)} arrived; "
        f"{other.fed} fed, {len(received)} in the buffer, {twice} of them twice; {len(swaps)} swaps, "
        f"median {statistics.median(swaps):.0f} ms, longest {max(swaps)} ms"
    )
    assert load.failures == []
    assert load.calls >= LEAST_CALLS
    assert set(other.seen) == set(range(load.said))
    assert set(received) == set(range(other.fed))
    assert len(swaps) >= ROTATIONS + 2
    assert log.count("A new version is not taken") >= 2
    assert "Traceback" not in log
    assert stack.credential()["password"] not in log
    assert place.reports() == ()  # taken back at the end


def test_a_version_whose_user_may_not_subscribe_what_the_one_before_may_is_refused(
    place: Place, mosquitto: Mosquitto
) -> None:
    """It logs in, so only the broker's answers to the subscriptions tell."""
    stack = place.stack
    weak = Value({"username": f"weak-{new_password()[:8]}", "password": new_password()})
    with Connection(mosquitto.broker(), mosquitto.admin) as connection:
        DynamicSecurity(connection).run("createClient", username=weak["username"], password=weak["password"], roles=[])

    async def scenario() -> None:
        async with place.session(f"dotenv:{stack.root}") as session:
            load = Load(session)
            await load.tell("mqtt_subscribe", topic="feed/#", qos=1)
            whole, credential = stack.env.read_text(), stack.credential()
            for field_name in ("username", "password"):
                whole = whole.replace(credential[field_name], weak[field_name])
            stack.env.write_text(whole)
            await place.until_logged("does not let user")
            await load.tell("mqtt_publish", topic="said/0", message="{}", qos=1)
            assert load.failures == []
            assert place.swaps() == []

    anyio.run(scenario)
    assert "feed/#" in place.log.read_text()
    assert weak["password"] not in place.log.read_text()


def test_a_server_that_stays_behind_is_told_when_the_grace_ends_and_its_user_is_retired_all_the_same(
    place: Place,
) -> None:
    """Its .env does not change any more: a copy that nobody delivers to."""
    stack = place.stack
    stale = place.log.parent / "stale.env"
    stale.write_bytes(stack.env.read_bytes())

    async def scenario() -> None:
        async with place.session(f"file:{stale}"):
            old = stack.session().store.versions("mqtt").current
            assert old
            await place.until_all_are_on(old.id)
            await anyio.to_thread.run_sync(stack.rotate)
            await anyio.to_thread.run_sync(stack.tick)
            kept = stack.session().store.versions("mqtt").previous
            assert kept
            assert not kept.retired, "retired within the grace, although a server reports that it uses it"
            stack.skip_grace()
            outcome = next(one for one in await anyio.to_thread.run_sync(stack.tick) if one.secret == "mqtt")
            assert f"retired {old.id}" in outcome.done
            assert f"is on version {old.id}, past the grace" in " ".join(outcome.attention)
            await place.until_logged("refused the connection")  # its session has ended, and it says so

    anyio.run(scenario)
