"""Which agent the unmodified server asks, and with which key: as the launcher has it, and as both change under it."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anyio
import pytest

from secretops.launcher.upstream import AgentRequests
from tests.real.launched import (
    DEADLINE,
    ON_UPSTREAMS_SERVER,
    WITNESS,
    RealBroker,
    command,
    environment,
)
from tests.real.mcp_client import stdio_session, tell

pytestmark = pytest.mark.real

PATH = "/api/v1/chat/completions"


@dataclass
class Agent:
    """A server that answers as an agent does, and remembers what it was asked with."""

    url: str
    said: str
    asked: list[tuple[str, str]] = field(default_factory=list)
    """(path, Authorization) of each request."""
    moves: bool = False

    @property
    def keys(self) -> list[str]:
        return [shown.removeprefix("Bearer ") for _, shown in self.asked]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        agent: Agent = self.server.agent  # type: ignore[attr-defined]
        self.rfile.read(int(self.headers["Content-Length"]))
        agent.asked.append((self.path, self.headers["Authorization"]))
        choice = {"index": 0, "message": {"role": "assistant", "content": agent.said}}
        body = json.dumps({"choices": [choice]}).encode()
        self.send_response(307 if agent.moves else 200)
        self.send_header("Location", f"{agent.url}/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def agents() -> Iterator[tuple[Agent, Agent]]:
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), _Handler) for _ in range(2)]
    made = []
    for number, server in enumerate(servers):
        server.agent = Agent(f"http://127.0.0.1:{server.server_port}", f"LOT of agent {number}")  # type: ignore[attr-defined]
        made.append(server.agent)  # type: ignore[attr-defined]
        threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield made[0], made[1]
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


def lay(file: Path, broker: RealBroker, *, agent: Agent, key: str, version: str) -> None:
    lines = {
        "MQTT_BROKER": "localhost",
        "MQTT_PORT": broker.port,
        "MQTT_PROTOCOL": broker.broker().protocol,
        "MQTT_USER": WITNESS["username"],
        "MQTT_PASSWORD": WITNESS["password"],
        "DO_AGENT_URL": agent.url,
        "DO_AGENT_API_KEY": key,
        "SECRETOPS_VERSION_AGENT_KEY": version,
    }
    new = file.with_name("new")
    new.write_text("".join(f"{name}={text}\n" for name, text in lines.items()))
    new.rename(file)


@pytest.mark.slow
@ON_UPSTREAMS_SERVER
def test_the_unmodified_server_asks_the_agent_of_the_stack_with_the_current_key(
    tmp_path: Path, broker: RealBroker, server_folder: Path, agents: tuple[Agent, Agent]
) -> None:
    first, second = agents
    old, new = secrets.token_hex(20), secrets.token_hex(20)
    file, log = tmp_path / "server.env", tmp_path / "log"
    lay(file, broker, agent=first, key=old, version="v-1")

    async def scenario() -> None:
        async with stdio_session(command(f"file:{file}"), environment(server_folder), tmp_path, log) as session:
            assert "LOT of agent 0" in await tell(session, "request_lot_code", query="a pump")
            assert first.asked == [(PATH, f"Bearer {old}")] and second.asked == []

            lay(file, broker, agent=first, key=new, version="v-2")
            await until_logged(log, "On version v-2 of agent-key now")
            await tell(session, "request_lot_code", query="a pump")
            assert first.keys == [old, new]

            lay(file, broker, agent=second, key=new, version="v-3")
            await until_logged(log, "On version v-3 of agent-key now")
            assert "LOT of agent 1" in await tell(session, "request_lot_code", query="a pump")

    anyio.run(scenario)
    assert first.keys == [old, new] and second.asked == [(PATH, f"Bearer {new}")]
    assert old not in log.read_text() and new not in log.read_text()


async def until_logged(log: Path, text: str) -> None:
    with anyio.move_on_after(DEADLINE):
        while text not in log.read_text():
            await anyio.sleep(0.05)
        return
    pytest.fail(f"not within {DEADLINE} s: {text}\n{log.read_text()[-3000:]}")


def test_what_the_server_asks_of_others_is_not_led_elsewhere(agents: tuple[Agent, Agent]) -> None:
    agent, other = agents
    requests = AgentRequests(agent.url)
    assert requests.post(f"{other.url}/api/lot-verifier", json={}, headers={"Authorization": "none"}).ok
    assert agent.asked == [] and other.asked == [("/api/lot-verifier", "none")]
    assert AgentRequests(None).post(agent.url + PATH, json={}, headers={"Authorization": "Bearer it"}).ok
    assert agent.keys == ["it"], "without a URL of the stack's own the server's is asked"
    assert issubclass(requests.exceptions.Timeout, Exception)


def test_an_agent_that_has_moved_sends_nobody_on_with_the_key(agents: tuple[Agent, Agent]) -> None:
    agent, _ = agents
    agent.moves = True
    answer = AgentRequests(agent.url).post(
        f"https://example.com{PATH}", json={}, headers={"Authorization": "Bearer it"}
    )
    assert answer.status_code == 307
    assert agent.asked == [(PATH, "Bearer it")]
