"""A stack whose mqtt has been in use, for the tests of `secretops compromise`."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from secretops.errors import ExitCode
from tests.real.stack import DEADLINE, MqttSession, Stack

STEPS = ("freeze", "replace", "both slots", "proof", "readers", "trail")


@dataclass(frozen=True)
class Drill:
    """A stack whose mqtt has been in use, and a folder for its incidents."""

    stack: Stack
    folder: Path

    def compromise(self, *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
        return self.stack.run("compromise", *arguments, "--to", str(self.folder), given=given)

    def incident(self) -> dict[str, Any]:
        """The only one."""
        (path,) = self.folder.glob("incident-*.json")
        found: dict[str, Any] = json.loads(path.read_text())
        return found

    def page(self) -> str:
        (path,) = self.folder.glob("incident-*.md")
        return path.read_text()

    def is_gone_through_with(self) -> float:
        """Compromise mqtt as somebody who has two values of it that are good, and a session by each. Seconds from the
        start of the command until the newer one is refused."""
        stack = self.stack
        stack.rotate()
        before = stack.credential()
        stack.rotate()
        old = stack.credential()
        with ExitStack() as opened:
            sessions = [opened.enter_context(MqttSession(stack.manifest.broker, each)) for each in (before, old)]
            assert [each.outcome for each in sessions] == ["Success", "Success"]
            began = time.monotonic()
            command = stack.command("compromise", "mqtt", "--yes", "--to", str(self.folder))
            pipe = subprocess.PIPE
            with subprocess.Popen(
                command, stdout=pipe, stderr=pipe, text=True, env={**os.environ, **stack.environment}
            ) as it:
                while stack.log_in(old) == "Success":
                    assert time.monotonic() - began < DEADLINE
                refused = time.monotonic() - began
                out, err = it.communicate(timeout=DEADLINE)
            for session in sessions:
                assert session.ended.wait(DEADLINE)
        incident = self.incident()
        assert it.returncode == (ExitCode.ATTENTION if incident["left"] else ExitCode.DONE), out + err
        assert set(incident["left"]) <= {"trail"}, "a trail that can't be asked is the only thing that may be left"
        assert incident["ended"]
        assert tuple(each["step"] for each in incident["moments"]) == STEPS
        for each in (before, old):
            assert stack.log_in(each) != "Success"
            assert each["password"] not in out + err + json.dumps(incident) + self.page()
        assert stack.log_in(stack.credential()) == "Success"
        assert {before["username"], old["username"]} == set(stack.manifest.secret("mqtt").users)
        versions = stack.session().store.versions("mqtt")
        assert versions.current
        assert versions.previous
        assert not {versions.current.id, versions.previous.id} & set(incident["known"])
        assert {stat.S_IMODE(path.stat().st_mode) for path in self.folder.glob("incident-*")} == {0o600}
        assert [one.error for one in stack.tick() if one.error] == []
        return refused

    def told(self, step: str) -> str:
        return next(str(each["told"]) for each in reversed(self.incident()["moments"]) if each["step"] == step)


def drill(stack: Stack, folder: Path) -> Drill:
    incidents = folder / "incidents"
    incidents.mkdir()
    return Drill(stack, incidents)
