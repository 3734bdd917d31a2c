"""Broken stack files under the real engine: what a person sees, and that nothing is made.

tests/unit/test_broken_stack_files.py has the table of them.
"""

from __future__ import annotations

import pytest

from tests.stacks.project import Stack, new_stack
from tests.unit.broken_stack_files import CANARY, row

pytestmark = pytest.mark.real

SEVERAL = "dotenv, {broker.host: 'mqtt://mqtt.example.com', broker.password: <value>, broker.port: 0"


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
