"""A stack of an older commit is upgraded in its clone, while an MCP client calls.

Only the dotenv store is tested here. The upgrade of other stores was tried by hand (docs/operations/upgrade.md).
"""

import asyncio
import json
import os
import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.real.load import Seat
from tests.real.mcp_client import stdio_session
from tests.real.ports import free_port
from tests.real.upstream import real_server
from tests.stacks.runbook import OPERATIONS, ROOT, Clone, run_of

pytestmark = [pytest.mark.real, pytest.mark.slow]

LEAST_CALLS = 100
# The last commit with the layout before components had arguments.
OLD = "7eeccdea9125d95d0c9c61f797569e190f8f5b89"


@dataclass
class Calls:
    """The calls of one MCP client, which calls without pause."""

    seat: Seat
    count: int = 0
    failures: list[str] = field(default_factory=list)

    async def call(self) -> None:
        good, text = await self.seat.call("mqtt_publish", {"topic": "plant/line1", "message": '{"n": 1}', "qos": 1})
        self.count += 1
        if not good:
            self.failures.append(text)

    async def during(self, work: Callable[[], Any]) -> Any:
        """Call without pause while `work` runs, and once more afterwards. Return its result."""
        running = asyncio.get_running_loop().run_in_executor(None, work)
        while not running.done():
            await self.call()
        await self.call()
        return await running


def git(*arguments: str, cwd: Path = ROOT) -> str:
    return subprocess.run(["git", *arguments], cwd=cwd, check=True, capture_output=True, text=True).stdout


def test_upgrade_in_place_replaces_nothing_and_fails_no_call(tmp_path: Path) -> None:
    clone = Clone(tmp_path / "clone", {"STACK": "dev"})
    git("clone", "--quiet", str(ROOT), str(clone.folder))
    git("checkout", "--quiet", OLD, cwd=clone.folder)
    stack_file = clone.folder / "Pulumi.dev.yaml"
    kind = "    kind: embedded\n"
    stack_file.write_text(stack_file.read_text().replace(kind, f"{kind}    port: {free_port()}\n"))
    mine = stack_file.read_text()

    def run(*lines: str) -> str:
        done = clone.sh(*lines)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def upgrade() -> str:
        git("checkout", "--quiet", "--force", git("rev-parse", "HEAD").strip(), cwd=clone.folder)
        stack_file.write_text(mine)
        return run(
            *(f"{line} || [ $? = 3 ]" for block in run_of(OPERATIONS / "upgrade.md") for line in block.splitlines())
        )

    async def scenario() -> None:
        entry = json.loads((clone.store / "config/mcp.json").read_text())["mcpServers"]["coreflux"]
        environment = {"PATH": os.environ["PATH"], "COREFLUX_SERVER_DIR": str(server)}
        command, log = [str(entry["command"]), *entry["args"]], tmp_path / "log"
        async with stdio_session(command, environment, tmp_path, log) as session:
            calls = Calls(Seat(session))
            before = clone.variables()["MQTT_PASSWORD"]
            output = await calls.during(upgrade)
            assert not re.search(r"\d (to )?(create|delete|replace)", output), output
            assert clone.variables()["MQTT_PASSWORD"] == before
            await calls.during(lambda: run("secretops rotate mqtt"))
            assert clone.variables()["MQTT_PASSWORD"] != before
        async with stdio_session(command, environment, tmp_path, log) as session:
            calls.seat = Seat(session)
            await calls.during(lambda: run("secretops rotate mqtt"))
            while calls.count < LEAST_CALLS:
                await calls.call()
        assert calls.failures == []

    if (server := real_server()) is None:
        pytest.skip("the upstream server is neither at COREFLUX_SERVER_DIR nor in ../shared/upstream")
    run("make up")
    try:
        asyncio.run(scenario())
    finally:
        clone.sh("make down")
