"""What a skip means with CI=true: the hook of tests/conftest.py in a pytest of its own, and what a Swarm's reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
REASON = "the part is not installed"
EVERY_WAY = f"""
import pytest

@pytest.fixture
def part():
    pytest.skip("{REASON}")

@pytest.mark.skipif(True, reason="{REASON}")
def test_by_mark(): ...

def test_by_fixture(part): ...

def test_by_itself():
    pytest.skip("{REASON}")

@pytest.mark.xfail(reason="known")
def test_that_is_known_to_fail():
    assert False
"""


def told(folder: Path, tests: str, ci: str) -> str:
    path = folder / "test_parts.py"
    path.write_text(tests)
    command = [sys.executable, "-m", "pytest", "-qra", "-p", "tests.conftest", "-p", "no:cacheprovider", str(path)]
    environment = os.environ | {"CI": ci}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    ).stdout


@pytest.mark.real
@pytest.mark.slow
def test_a_skip_is_an_error_in_ci_and_elsewhere_a_skip(tmp_path: Path) -> None:
    elsewhere, in_ci = (told(tmp_path, EVERY_WAY, ci) for ci in ("", "true"))
    assert "3 skipped, 1 xfailed in" in elsewhere
    assert "1 failed, 1 xfailed, 2 errors in" in in_ci
    assert in_ci.count(f"skipped, which is an error with CI=true: {REASON}\n") >= 3
