"""A running launcher on every source, as the values change under it: what is taken, what is refused, what stays."""

from __future__ import annotations

import json
import os
import re
import secrets
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp import ClientSession

from secretops.errors import SecretopsError
from secretops.manifest import Broker, BrokerKind, MqttProtocol
from secretops.replicas import REPORTS, read_reports
from secretops.values import Value
from tests.real.launched import (
    DEADLINE,
    ON_BOTH_BROKERS,
    ON_MOSQUITTO,
    ON_UPSTREAMS_SERVER,
    ONE_BROKER,
    WITNESS,
    RealBroker,
    command,
    environment,
    let_in,
    start_broker,
)
from tests.real.mcp_client import stdio_session, tell
from tests.real.witness import Witness

pytestmark = pytest.mark.real

TAKEN = "took over"
REFUSED = "A new version is not taken"
END_SECONDS = 5
"""What the launcher promises after SIGTERM."""
SLOW_MACHINE = 20
"""Seconds more that a test allows for a machine with other work."""

Lay = Callable[[Path, str, str], None]
"""Writes a user and its password, as the first thing or in place of another, below a folder."""


def variables(user: str, password: str) -> str:
    return f"MQTT_USER={user}\nMQTT_PASSWORD={password}\nSECRETOPS_VERSION_MQTT=of-{user}\n"


def replace(path: Path, text: str) -> None:
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.rename(path)


@dataclass
class Way:
    """A source, and how its values come to be others."""

    name: str
    source: str
    lay: Lay


def dotenv_renamed(folder: Path, user: str, password: str) -> None:
    (folder / "config").mkdir(exist_ok=True)
    replace(folder / "config" / ".env", public_lines() + variables(user, password))


def env_in_place(folder: Path, user: str, password: str) -> None:
    (folder / ".env").write_text(public_lines() + variables(user, password))


def mounted_in_place(folder: Path, user: str, password: str) -> None:
    """One file after the other: in between, user and password do not belong together."""
    (folder / "mqtt-user").write_text(user)
    (folder / "mqtt-version").write_text(f"of-{user}")
    (folder / "mqtt-password").write_text(password)


def mounted_by_kubelet(folder: Path, user: str, password: str) -> None:
    version = folder / f"..{secrets.token_hex(4)}"
    version.mkdir()
    mounted_in_place(version, user, password)
    (folder / "..data_tmp").symlink_to(version.name)
    (folder / "..data_tmp").rename(folder / "..data")
    for name in ("mqtt-user", "mqtt-password", "mqtt-version"):
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def document_half_written(folder: Path, user: str, password: str) -> None:
    """As a slow writer leaves it for a moment."""
    text = json.dumps({"mqtt": {"username": user, "password": password, "version": f"of-{user}"}})
    with (folder / "it.json").open("w") as file:
        file.write(text[:20])
        file.flush()
        time.sleep(0.3)
        file.write(text[20:])


def carried_by_files(folder: Path, user: str, password: str) -> None:
    replace(folder / "user", user)
    replace(folder / "password", password)


def public_lines() -> str:
    return "".join(f"{name}={os.environ[name]}\n" for name in ("MQTT_BROKER", "MQTT_PORT", "MQTT_PROTOCOL"))


WAYS = [
    Way("dotenv, renamed", "dotenv:{}", dotenv_renamed),
    Way("file, in place", "file:{}/.env", env_in_place),
    Way("files, in place", "files:{}", mounted_in_place),
    Way("files, by kubelet", "files:{}", mounted_by_kubelet),
    Way("json, half-written for a while", "json:{}/it.json", document_half_written),
    Way("env, renamed", "env:", carried_by_files),
]


@dataclass
class Launched:
    """The launcher's place, its process's environment, and what it says."""

    folder: Path
    cwd: Path
    broker: RealBroker
    server: Path
    variables: dict[str, str] = field(default_factory=dict)

    def user(self, name: str, password: str | None = None) -> str:
        """A user of the broker with a new password, which is given back."""
        made = password or secrets.token_hex(20)
        let_in(self.broker, Value({"username": name, "password": made}))
        return made

    def environment(self) -> dict[str, str]:
        public = {name: os.environ[name] for name in ("MQTT_BROKER", "MQTT_PORT", "MQTT_PROTOCOL")}
        return environment(self.server) | public | {"LOG_LEVEL": "INFO"} | self.variables

    def command(self, source: str) -> list[str]:
        return command(source.format(self.folder))

    @property
    def log(self) -> str:
        return (self.cwd / "stderr").read_text()

    def session(self, source: str) -> AbstractAsyncContextManager[ClientSession]:
        return stdio_session(self.command(source), self.environment(), self.cwd, self.cwd / "stderr")

    def reports(self) -> dict[str, str]:
        """broker user -> version, as a rotator reads it."""
        users = ["server-a", "server-b"]
        return {one.user: one.version for one in read_reports(self.broker.broker(), WITNESS, users)}

    async def until(self, what: str, check: Callable[[], bool]) -> None:
        with anyio.move_on_after(DEADLINE):
            while not await anyio.to_thread.run_sync(check):
                await anyio.sleep(0.05)
            return
        print(self.log[-3000:])
        pytest.fail(f"not within {DEADLINE} s: {what}")

    async def until_logged(self, text: str, times: int = 1) -> None:
        await self.until(text, lambda: self.log.count(text) >= times)


@pytest.fixture
def launched(tmp_path: Path, server_folder: Path, broker: RealBroker, monkeypatch: pytest.MonkeyPatch) -> Launched:
    for name, text in (("BROKER", "localhost"), ("PORT", str(broker.port)), ("PROTOCOL", broker.broker().protocol)):
        monkeypatch.setenv(f"MQTT_{name}", text)
    made = Launched(tmp_path / "place", tmp_path / "cwd", broker, server_folder)
    made.folder.mkdir()
    made.cwd.mkdir()
    return made


async def until_published(launched: Launched, session: ClientSession) -> None:
    with anyio.move_on_after(DEADLINE):
        while "ublished" not in await tell(session, "mqtt_publish", topic="other/probe", message='{"n": 1}'):
            await anyio.sleep(0.1)
        return
    pytest.fail(f"not connected within {DEADLINE} s: {launched.log[-2000:]}")


@pytest.mark.parametrize(
    ("broker", "way"),
    [*((ONE_BROKER, way) for way in WAYS), ("embedded", WAYS[0])],
    indirect=["broker"],
    ids=lambda it: it.name if isinstance(it, Way) else it,
)
def test_a_new_value_is_taken_from_every_source_however_it_is_written(way: Way, launched: Launched) -> None:
    way.lay(launched.folder, "server-a", launched.user("server-a"))
    if way.source == "env:":
        launched.variables = {f"MQTT_{name}_FILE": f"{launched.folder}/{name.lower()}" for name in ("USER", "PASSWORD")}

    async def scenario() -> None:
        async with launched.session(way.source) as session:
            await until_published(launched, session)
            await tell(session, "mqtt_subscribe", topic="test/in", qos=1)
            second = launched.user("server-b")
            way.lay(launched.folder, "server-b", second)
            await launched.until_logged(TAKEN)
            with Witness(launched.broker.broker(), WITNESS) as witness:
                witness.say("test/in", "after the change")

                async def heard() -> str:
                    return await tell(session, "mqtt_read_messages", topic="test/in")

                with anyio.fail_after(DEADLINE):
                    while "after the change" not in await heard():
                        await anyio.sleep(0.05)
                said = await tell(session, "mqtt_publish", topic="test/out", message='{"n": 1}', qos=1)
                assert "ublished" in said
                topics = [witness.messages.get(timeout=DEADLINE)[0] for _ in range(2)]
                assert "test/out" in topics
            expected = {"server-b": "unknown" if way.source == "env:" else "of-server-b"}
            await launched.until("the new version's report, alone", lambda: launched.reports() == expected)
            assert second not in launched.log

    anyio.run(scenario)
    assert launched.reports() == {}
    assert "Traceback" not in launched.log


@ON_BOTH_BROKERS
def test_a_bad_version_is_told_once_the_old_one_goes_on_and_it_is_taken_once_the_broker_knows_it(
    launched: Launched,
) -> None:
    env_in_place(launched.folder, "server-a", launched.user("server-a"))

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            early = secrets.token_hex(20)
            launched.user("server-b")
            env_in_place(launched.folder, "server-b", early)
            await launched.until_logged(REFUSED)
            for _ in range(10):
                assert "ublished" in await tell(session, "mqtt_publish", topic="a/b", message='{"n": 1}')
            assert "server-a" in str(launched.reports())
            launched.user("server-b", early)
            await launched.until_logged(TAKEN)
            assert launched.log.count(REFUSED) == 1
            assert early not in launched.log

    anyio.run(scenario)
    assert "-> " in launched.log


def test_a_server_that_was_started_on_a_refused_password_recovers_with_the_next_version(launched: Launched) -> None:
    launched.user("server-a")
    env_in_place(launched.folder, "server-a", secrets.token_hex(20))

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await launched.until_logged("refused the connection")
            env_in_place(launched.folder, "server-b", launched.user("server-b"))
            await launched.until_logged(TAKEN)
            assert "ublished" in await tell(session, "mqtt_publish", topic="a/b", message='{"n": 1}')

    anyio.run(scenario)
    assert "Traceback" not in launched.log


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("MQTT_PORT=none", "MQTT_PORT='none'"),
        ("MQTT_PASSWORD=", "MQTT_PASSWORD is not there yet"),
        ("MQTT_USE_TLS=true", "TLS"),
        ("MQTT_BROKER=no-such-host.invalid", "No MQTT answer"),
        ("MQTT_USE_TLS=true\nMQTT_CA_CERT=/dev/null", "they are PEM files"),
    ],
)
def test_a_version_that_cannot_be_used_is_refused_and_the_next_good_one_is_taken(
    line: str, told: str, launched: Launched
) -> None:
    first = launched.user("server-a")
    env_in_place(launched.folder, "server-a", first)

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            with (launched.folder / ".env").open("a") as file:
                file.write(f"{line}\n")
            await launched.until_logged(REFUSED)
            await launched.until_logged(told)
            assert "ublished" in await tell(session, "mqtt_publish", topic="a/b", message='{"n": 1}')
            env_in_place(launched.folder, "server-b", launched.user("server-b"))
            await launched.until_logged(TAKEN)
            assert "ublished" in await tell(session, "mqtt_publish", topic="a/b", message='{"n": 1}')

    anyio.run(scenario)
    assert first not in launched.log


def test_a_broker_elsewhere_is_a_swap_and_a_log_level_is_none(launched: Launched, tmp_path: Path) -> None:
    (tmp_path / "second").mkdir()
    second = start_broker(tmp_path / "second")
    password = launched.user("server-a")
    let_in(second, Value({"username": "server-a", "password": password}))
    env_in_place(launched.folder, "server-a", password)

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            with (launched.folder / ".env").open("a") as file:
                file.write("LOG_LEVEL=DEBUG\n")
            with anyio.fail_after(DEADLINE):
                while " - DEBUG - " not in launched.log:  # it has to have something to say
                    await until_published(launched, session)
            assert TAKEN not in launched.log
            with (launched.folder / ".env").open("a") as file:
                file.write(f"MQTT_PORT={second.port}\n")
            await launched.until_logged(TAKEN)
            with Witness(second.broker(), WITNESS) as witness:
                await tell(session, "mqtt_publish", topic="test/there", message='{"n": 1}', qos=1)
                found = await anyio.to_thread.run_sync(lambda: witness.messages.get(timeout=DEADLINE))
                assert found[0] == "test/there"
            assert "Successfully" in await tell(session, "reconnect_mqtt")

    try:
        anyio.run(scenario)
    finally:
        second.stop()


def test_files_that_are_no_pem_at_the_start_end_it_with_what_to_replace(launched: Launched) -> None:
    env_in_place(launched.folder, "server-a", launched.user("server-a"))
    with (launched.folder / ".env").open("a") as file:
        file.write("MQTT_USE_TLS=true\nMQTT_CA_CERT=/dev/null\n")
    done = subprocess.run(
        launched.command("file:{}/.env"),
        cwd=launched.cwd,
        env=launched.environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE,
        check=False,
    )
    assert done.returncode == 2
    assert "they are PEM files" in done.stderr
    assert "Traceback" not in done.stderr


@ON_MOSQUITTO
def test_what_is_retained_comes_once_from_one_broker_and_anew_from_another(launched: Launched, tmp_path: Path) -> None:
    """Under MQTT 5; 3.1.1, which is all that the embedded broker speaks, can't ask for it once: no Retain Handling."""
    (tmp_path / "second").mkdir()
    second = start_broker(tmp_path / "second", "mosquitto")
    password = launched.user("server-a")
    let_in(second, Value({"username": "server-a", "password": password}))
    for broker, text in ((launched.broker, "of the first"), (second, "of the second")):
        with Witness(broker.broker(), WITNESS) as witness:
            witness.say("test/kept", text, retain=True)
    env_in_place(launched.folder, "server-a", password)

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            await tell(session, "mqtt_subscribe", topic="test/kept")

            async def until_heard(text: str) -> str:
                with anyio.fail_after(DEADLINE):
                    while text not in (found := await tell(session, "mqtt_read_messages", topic="test/kept")):
                        await anyio.sleep(0.05)
                return found

            await until_heard("of the first")
            env_in_place(launched.folder, "server-b", launched.user("server-b"))
            await launched.until_logged(TAKEN)
            env_in_place(launched.folder, "server-a", password)
            with (launched.folder / ".env").open("a") as file:
                file.write(f"MQTT_PORT={second.port}\n")
            assert (await until_heard("of the second")).count("of the first") == 1

    try:
        anyio.run(scenario)
    finally:
        second.stop()


def test_a_connection_that_an_mcp_client_has_chosen_stands(launched: Launched) -> None:
    env_in_place(launched.folder, "server-a", launched.user("server-a"))
    own = launched.user("server-c")

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            chosen = {"broker": "localhost", "port": launched.broker.port, "username": "server-c", "password": own}
            assert "Successfully" in await tell(session, "mqtt_connect", **chosen)
            await launched.until("no report of it", lambda: launched.reports() == {})
            env_in_place(launched.folder, "server-b", launched.user("server-b"))
            await launched.until_logged("has chosen the connection")
            assert "ublished" in await tell(session, "mqtt_publish", topic="a/b", message='{"n": 1}')
            assert TAKEN not in launched.log

    anyio.run(scenario)


@ON_UPSTREAMS_SERVER  # the small server has no tool that waits
@ON_BOTH_BROKERS
def test_a_tool_that_waits_for_a_message_gets_it_although_the_client_changes_meanwhile(launched: Launched) -> None:
    env_in_place(launched.folder, "server-a", launched.user("server-a"))

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            answers: list[str] = []

            async def wait() -> None:
                answers.append(await tell(session, "mqtt_read_topic_once", topic="test/once", timeout=DEADLINE))

            with Witness(launched.broker.broker(), WITNESS) as witness:
                async with anyio.create_task_group() as tasks:
                    tasks.start_soon(wait)
                    await launched.until_logged("[One-off] Subscribing")
                    env_in_place(launched.folder, "server-b", launched.user("server-b"))
                    await launched.until_logged(TAKEN)
                    witness.say("test/once", "it came")
            assert "it came" in answers[0]

    anyio.run(scenario)


def test_sigterm_ends_it_in_time_while_a_new_broker_does_not_answer(launched: Launched) -> None:
    env_in_place(launched.folder, "server-a", launched.user("server-a"))
    with socket.create_server(("127.0.0.1", 0)) as silent, (launched.cwd / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            launched.command("file:{}/.env"),
            cwd=launched.cwd,
            env=launched.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
        )
        assert process.stdin
        assert process.stdout
        process.stdin.write(b'{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
        process.stdin.flush()
        assert process.stdout.readline()
        with (launched.folder / ".env").open("a") as file:
            file.write(f"MQTT_BROKER=127.0.0.1\nMQTT_PORT={silent.getsockname()[1]}\n")
        silent.settimeout(DEADLINE)
        connection, _ = silent.accept()  # the swap is under way
        began = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(DEADLINE) == 0
        took = time.monotonic() - began
        connection.close()
        process.stdin.close()
        process.stdout.close()
    print(f"ended {took:.1f} s after SIGTERM")
    assert took < END_SECONDS + SLOW_MACHINE
    assert "Traceback" not in launched.log
    assert launched.reports() == {}


@ON_BOTH_BROKERS
def test_a_server_that_is_killed_reports_no_more(launched: Launched) -> None:
    env_in_place(launched.folder, "server-a", launched.user("server-a"))
    with (launched.cwd / "stderr").open("wb") as stderr:
        process = subprocess.Popen(
            launched.command("file:{}/.env"),
            cwd=launched.cwd,
            env=launched.environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    anyio.run(launched.until, "its report", lambda: launched.reports() == {"server-a": "of-server-a"})
    process.kill()
    process.wait(DEADLINE)
    anyio.run(launched.until, "the last will", lambda: launched.reports() == {})
    assert process.stdin
    process.stdin.close()


@ON_BOTH_BROKERS
def test_what_is_no_report_is_passed_over(launched: Launched) -> None:
    with Witness(launched.broker.broker(), WITNESS) as witness:
        for topic in ("server-a/x", "server-a", "server-a/x/y", "server-a/z"):
            witness.say(f"{REPORTS}/{topic}", '{"secret": "mqtt"}' if topic.endswith("z") else "no json")
    assert launched.reports() == {}
    with pytest.raises(SecretopsError):
        broker = Broker(kind=BrokerKind.COREFLUX, host="localhost", port=1, protocol=MqttProtocol.V5, tls=False)
        read_reports(broker, Value({"username": "x", "password": "y"}), [])


def test_the_time_from_a_change_to_the_swap_is_told(launched: Launched) -> None:
    """Printed, not asserted: a busy machine is slower, and nothing fails meanwhile."""
    env_in_place(launched.folder, "server-a", launched.user("server-a"))

    async def scenario() -> None:
        async with launched.session("file:{}/.env") as session:
            await until_published(launched, session)
            second = launched.user("server-b")
            began = time.monotonic()
            env_in_place(launched.folder, "server-b", second)
            await launched.until("its report", lambda: "server-b" in launched.reports())
            print(f"{time.monotonic() - began:.2f} s from the change to the report, of which 0.3 s are our reading")

    anyio.run(scenario)
    assert re.search(r"took over after \d+ ms", launched.log)
