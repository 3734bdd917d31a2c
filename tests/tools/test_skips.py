"""What a skip means with CI=true: the hook of tests/conftest.py in a pytest of its own, and what a Swarm's reads."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import MAY_BE_MISSING
from tests.real.swarm import running_swarm

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
ALLOWED = f"""
import pytest

@pytest.mark.parametrize("part", {list(MAY_BE_MISSING)})
def test_it(part):
    pytest.skip(part + " is not here")
"""


def told(folder: Path, tests: str, ci: str) -> str:
    path = folder / "test_parts.py"
    path.write_text(tests)
    command = [sys.executable, "-m", "pytest", "-qra", "-p", "tests.conftest", "-p", "no:cacheprovider", str(path)]
    environment = os.environ | {"CI": ci}
    return subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False
    ).stdout


def test_a_skip_is_an_error_in_ci_and_elsewhere_a_skip(tmp_path: Path) -> None:
    elsewhere, in_ci = (told(tmp_path, EVERY_WAY, ci) for ci in ("", "true"))
    assert "3 skipped, 1 xfailed in" in elsewhere
    assert "1 failed, 1 xfailed, 2 errors in" in in_ci
    assert in_ci.count(f"skipped, which is an error with CI=true: {REASON}\n") >= 3


def test_what_may_be_missing_is_a_skip_in_ci_too(tmp_path: Path) -> None:
    assert f"\n{len(MAY_BE_MISSING)} skipped in" in told(tmp_path, ALLOWED, "true")


@pytest.mark.parametrize(
    ("program", "user", "reason"),
    [
        (None, 0, "dockerd is not installed: apt-get install docker.io"),
        ("/bin/false", 1000, "dockerd needs root"),
        ("/bin/false", 0, "dockerd does not run here: unshare"),
    ],
    ids=["not installed", "not root", "not allowed"],
)
def test_a_swarm_that_cannot_be_had_is_a_skip_that_ci_allows(
    program: str | None, user: int, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refusing = tmp_path / "setpriv"
    refusing.write_text("#!/bin/sh\necho 'unshare: unshare failed: Operation not permitted'\nexit 1\n")
    refusing.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr("tests.real.dockerd.shutil.which", lambda *_, **__: program)
    monkeypatch.setattr(os, "geteuid", lambda: user)
    with pytest.raises(pytest.skip.Exception) as skipped, running_swarm():
        """Not reached."""
    assert str(skipped.value).startswith(reason)
    assert str(skipped.value).startswith(tuple(MAY_BE_MISSING))
