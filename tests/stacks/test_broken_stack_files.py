"""Broken stack files under the real engine: what a person sees, and that nothing is made.

tests/unit/test_broken_stack_files.py has the table of them.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.stacks.project import BIN, ROOT, Stack, new_stack
from tests.unit.broken_stack_files import CANARY, row

pytestmark = pytest.mark.real

SEVERAL = "dotenv, {broker.host: 'mqtt://mqtt.example.com', broker.password: <value>, broker.port: 0"
GOOD = """config:
  coreflux-mcp-secrets:store: {kind: dotenv}
  coreflux-mcp-secrets:server: {kind: local}
  coreflux-mcp-secrets:broker: {kind: embedded}
"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Stack:
    return new_stack(tmp_path_factory.mktemp("broken"), port=1883, name="dev")


def test_a_preview_shows_every_error_last_and_no_secret_and_makes_nothing(stack: Stack) -> None:
    broken = row(SEVERAL)
    stack.configure(broken.text)

    done = stack.run("preview")

    assert done.returncode != 0
    shown = " ".join(done.stdout.partition("Diagnostics:")[2].split())
    assert all(place in shown and part in shown for place, part in broken.errors), done.stdout
    assert shown.count("error:") == 1
    assert not [word for word in ("Traceback", "unhandled", "exit code", CANARY) if word in done.stdout]
    assert not stack.root.exists()


@pytest.mark.slow
def test_the_engine_refuses_what_is_no_yaml_and_may_repeat_what_is_there(stack: Stack) -> None:
    """The day it repeats nothing, `make` need not ask components.stack_file first."""
    stack.configure(f"{GOOD}  coreflux-mcp-secrets:log_level: *{CANARY}\n")

    done = stack.run("preview")

    assert done.returncode != 0
    assert f"unknown anchor '{CANARY}' referenced" in done.stdout
    assert not stack.root.exists()


@pytest.mark.slow
@pytest.mark.parametrize(("crash", "part"), [("1 / 0", "ZeroDivisionError"), ("import os; os.abort()", "exit code")])
def test_a_crash_of_the_program_is_reported_as_one(stack: Stack, tmp_path: Path, crash: str, part: str) -> None:
    for name in ("__main__.py", "Pulumi.yaml", "components", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "settings.py").write_text(crash)
    (tmp_path / f"Pulumi.{stack.name}.yaml").write_text(stack.configure().read_text())

    command = [str(BIN / "pulumi"), "preview", "--stack", stack.name, "--non-interactive"]
    done = subprocess.run(command, cwd=tmp_path, env=stack.environment, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert part in done.stdout + done.stderr
