"""What a new user does after a clone: `make up`, an MCP client, rotations, and then the whole README."""

import asyncio
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from queue import Queue

import paho.mqtt.client as mqtt
import pytest
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.types import TextContent
from paho.mqtt.enums import CallbackAPIVersion

from tests.real.ports import free_port
from tests.real.upstream import SMALL_SERVER, real_server
from tests.stacks.runbook import ROOT, Clone, has_shape, new_clone, shown_commands

pytestmark = pytest.mark.real

DEADLINE = 600.0


@dataclass
class Newcomer(Clone):
    """A fresh clone, and the first `make up` in it."""

    output: str = ""


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Newcomer]:
    stack_file = (ROOT / "Pulumi.dev.yaml").read_text()
    kind = "    kind: embedded\n"
    assert kind in stack_file
    folder = tmp_path_factory.mktemp("clone") / "coreflux-mcp-secrets"
    stack_file = stack_file.replace(kind, f"{kind}    port: {free_port()}\n")
    made = Newcomer(new_clone(folder, {"Pulumi.dev.yaml": stack_file}).folder)
    done = made.sh("make up 2>&1")
    made.output = done.stdout
    try:
        assert done.returncode == 0, made.output
        yield made
    finally:
        made.sh("make down")


def test_make_up_verifies_the_mqtt_secret_and_does_no_work_twice(clone: Newcomer) -> None:
    done = clone.sh("secretops status --json")
    standing = {secret["name"]: secret["status"] for secret in json.loads(done.stdout)["secrets"]}
    assert standing == {"broker-admin": "verified", "mqtt": "verified", "agent-key": "waiting"}
    assert "\x1b[" not in clone.output, "no color where there is no terminal"
    password = clone.variables()["MQTT_PASSWORD"]
    done = clone.sh("make up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "6 unchanged" in done.stdout
    assert "published" not in done.stdout
    assert clone.variables()["MQTT_PASSWORD"] == password
    assert clone.sh("git status --porcelain").stdout == "", "and the clone is as it was committed"


@pytest.mark.parametrize("server", ["upstream", "small"])
def test_an_mcp_client_started_from_the_written_entry_lists_tools_and_publishes(clone: Newcomer, server: str) -> None:
    source = real_server() if server == "upstream" else SMALL_SERVER
    if source is None:
        pytest.skip("the upstream server is neither at COREFLUX_SERVER_DIR nor in ../shared/upstream")
    entry = json.loads((clone.store / "config" / "mcp.json").read_text())["mcpServers"]["coreflux"]
    assert "PASSWORD" not in json.dumps(entry).upper()
    message = json.dumps({"reading": secrets.token_hex(8)})  # the server takes JSON alone
    tools = asyncio.run(_publish(clone, entry, source, "plant/line1", message))
    assert {"mqtt_publish", "get_connection_status"} <= set(tools)


async def _text(session: ClientSession, tool: str, **arguments: object) -> str:
    answer = (await session.call_tool(tool, arguments)).content[0]
    assert isinstance(answer, TextContent)
    return answer.text


async def _publish(clone: Clone, entry: dict[str, object], source: Path, topic: str, message: str) -> list[str]:
    """Publish a message with the MCP server, and wait until another MQTT client has received it."""
    variables, came = clone.variables(), Queue[bytes]()
    listening: Queue[None] = Queue()
    witness = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv311)
    witness.username_pw_set(str(variables["MQTT_USER"]), variables["MQTT_PASSWORD"])
    witness.on_connect = lambda client, *_: client.subscribe(topic, 1) and None
    witness.on_subscribe = lambda *_: listening.put(None)
    witness.on_message = lambda _client, _data, arrived: came.put(bytes(arrived.payload))
    witness.connect("127.0.0.1", int(str(variables["MQTT_PORT"])))
    witness.loop_start()
    try:
        await asyncio.to_thread(listening.get, True, DEADLINE)
        parameters = StdioServerParameters(
            command=str(entry["command"]),
            args=[str(argument) for argument in entry["args"]],  # type: ignore[attr-defined]
            env={"PATH": os.environ["PATH"], "COREFLUX_SERVER_DIR": str(source)},
        )
        async with (
            stdio_client(parameters) as (read, write),
            ClientSession(read, write, read_timeout_seconds=timedelta(seconds=DEADLINE)) as session,
        ):
            await session.initialize()
            tools = [tool.name for tool in (await session.list_tools()).tools]
            async with asyncio.timeout(DEADLINE):
                while not re.search(r"['\"]connected['\"]: true", await _text(session, "get_connection_status"), re.I):
                    await asyncio.sleep(0.2)
            output = await _text(session, "mqtt_publish", topic=topic, message=message, qos=1)
            assert (await asyncio.to_thread(came.get, True, DEADLINE)).decode() == message, output
        return tools
    finally:
        witness.loop_stop()
        witness.disconnect()


def test_a_preview_wants_no_changes_after_ten_rotations(clone: Newcomer) -> None:
    seen = {clone.variables()["MQTT_PASSWORD"]}
    for _ in range(10):
        done = clone.sh("secretops rotate mqtt")
        assert done.returncode == 0, done.stderr
        seen.add(clone.variables()["MQTT_PASSWORD"])
    assert len(seen) == 11, "each rotation made a new password"
    done = clone.sh("pulumi preview --stack dev --expect-no-changes")
    assert done.returncode == 0, done.stdout + done.stderr


def test_readme_commands_work_in_order_and_print_what_it_shows(clone: Newcomer) -> None:
    steps = shown_commands(ROOT / "README.md")
    assert {"make up", "secretops rotate mqtt", "secretops status"} <= {step.command for step in steps if step.output}
    for step in steps:
        if step.command == "make up":  # the fixture ran it
            output = clone.output
        else:
            done = clone.sh(f"{step.command} 2>&1")
            assert done.returncode == 0, (step.command, done.stdout)
            output = done.stdout
        assert step.output is None or has_shape(output, step.output), f"README shows:\n{step.output}\nbut:\n{output}"
    left = {path.relative_to(clone.store).parts[0] for path in clone.store.rglob("*") if path.is_file()}
    assert left <= {"log", "broker", ".lock", ".lease", ".gitignore"}
    assert clone.sh("git status --porcelain").stdout == ""
