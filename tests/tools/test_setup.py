"""Set-up as a user runs it. Stand-ins for uv and Pulumi record their calls, so nothing is downloaded or built."""

import ast
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.real.launched import until
from tools import clone, setup
from tools.steps import ROOT
from tools.toolchain import pulumi_cli

DEADLINE = 600.0

STAND_IN_UV = """#!/bin/sh
echo "uv $*" >> "$CALLS"
case "$1" in
    --version) echo "uv 99.0.0" ;;
    sync) mkdir -p "$UV_PROJECT_ENVIRONMENT/bin" ;;
esac
"""
STAND_IN_PULUMI = f"""#!/bin/sh
echo "pulumi $*" >> "$CALLS"
echo v{pulumi_cli.VERSION}
"""


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


class Clone:
    def __init__(self, root: Path) -> None:
        self.root, self.bin, self.calls_file = root / "clone", root / "bin", root / "calls"
        for name in ("tools", *clone.LOCKED):
            source, copy = ROOT / name, self.root / name
            copy.parent.mkdir(parents=True, exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copyfile(source, copy)
        program(self.bin / "uv", STAND_IN_UV)
        program(self.bin / "pulumi", STAND_IN_PULUMI)
        program(self.bin / "pulumi-language-python", "#!/bin/sh\n")
        self.environment = {
            "PATH": f"{self.bin}:/usr/bin:/bin",
            "HOME": str(root / "home"),
            "CALLS": str(self.calls_file),
        }

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "tools/setup.py", *arguments], cwd=self.root, env=self.environment,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def set_up(self, *arguments: str) -> tuple[int, str]:
        running = self.start(*arguments)
        output, _ = running.communicate(timeout=DEADLINE)
        return running.returncode, output

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def fresh(tmp_path: Path) -> Clone:
    return Clone(tmp_path)


@pytest.mark.real
def test_second_set_up_calls_neither_uv_nor_pulumi_and_writes_nothing(fresh: Clone) -> None:
    code, output = fresh.set_up()
    assert (code, "this clone is ready" in output) == (0, True), output
    first = fresh.calls()
    assert any(line.startswith("uv sync --frozen") for line in first)
    times = {path: path.stat().st_mtime_ns for path in fresh.root.rglob("*") if "__pycache__" not in path.parts}
    assert fresh.set_up() == (0, "")
    assert fresh.calls() == first
    assert times == {path: path.stat().st_mtime_ns for path in fresh.root.rglob("*") if "__pycache__" not in path.parts}


@pytest.mark.real
def test_a_changed_lock_file_syncs_again_and_leaves_pulumi_alone(fresh: Clone) -> None:
    fresh.set_up()
    before = len(fresh.calls())
    with (fresh.root / "uv.lock").open("a") as lock:
        lock.write("\n")
    assert fresh.set_up()[0] == 0
    again = fresh.calls()[before:]
    assert any(line.startswith("uv sync") for line in again)
    assert not any(line.startswith("pulumi") for line in again)


@pytest.mark.real
@pytest.mark.parametrize(
    ("printed", "remedy"),
    [
        ("no route to the index", "-> check that uv reaches a package index"),
        ("invalid peer certificate: UnknownIssuer", "-> export SSL_CERT_FILE"),
    ],
)
def test_a_failing_step_is_named_with_its_last_lines_and_the_remedy_and_no_traceback(
    printed: str, remedy: str, fresh: Clone
) -> None:
    program(fresh.bin / "uv", STAND_IN_UV + f'[ "$1" = --version ] || {{ echo {printed} >&2; exit 2; }}\n')
    code, output = fresh.set_up()
    assert code == 1
    assert "uv sync" in output
    assert printed in output
    assert remedy in output
    assert "Traceback" not in output


@pytest.mark.real
def test_wrong_stack_file_ends_a_set_up_before_anything_is_built(fresh: Clone) -> None:
    program(fresh.root / ".venv/bin/python", '#!/bin/sh\necho "python $*" >> "$CALLS"\nexit 2\n')
    assert fresh.set_up("--stack", "plant", "--check", "--deploys")[0] == 2
    assert fresh.calls()[-1] == "python -m components.settings.stack_file --deploys Pulumi.plant.yaml"
    assert not any(line.startswith("pulumi") for line in fresh.calls())


@pytest.mark.real
def test_stack_file_that_passed_before_a_deployment_is_checked_again_when_it_changes(fresh: Clone) -> None:
    program(fresh.root / ".venv/bin/python", '#!/bin/sh\necho "python $*" >> "$CALLS"\n')
    counts = []
    for text, deploys in (("a", []), ("a", ["--deploys"]), ("a", ["--deploys"]), ("a", []), ("b", ["--deploys"])):
        (fresh.root / "Pulumi.plant.yaml").write_text(text)
        assert fresh.set_up("--stack", "plant", "--check", *deploys)[0] == 0
        counts.append(sum("components.settings.stack_file" in line for line in fresh.calls()))
    assert counts == [1, 2, 2, 2, 3]


@pytest.mark.real
def test_a_terminated_set_up_ends_the_step_that_it_started(fresh: Clone) -> None:
    pid_file = fresh.root / "pid"
    program(fresh.bin / "uv", STAND_IN_UV + f'[ "$1" = --version ] || {{ echo $$ > "{pid_file}"; exec sleep 3600; }}\n')
    running = fresh.start()
    until("the step has started", lambda: pid_file.exists() and pid_file.read_text().endswith("\n"))
    pid = int(pid_file.read_text())
    running.send_signal(signal.SIGTERM)
    output, _ = running.communicate(timeout=DEADLINE)
    assert running.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in output
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_python_that_is_too_old_is_refused_with_the_way_out() -> None:
    refusal = setup.too_old((3, 10))
    assert "3.10" in refusal and "PYTHON=" in refusal
    assert setup.too_old((3, 11)) == ""


def test_the_refusal_can_be_read_by_the_python_that_it_refuses() -> None:
    ast.parse((ROOT / "tools/setup.py").read_text(), feature_version=(3, 7))


def test_unreadable_folder_on_path_is_skipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "pulumi", "#!/bin/sh\n")
    closed = f"/{'x' * 300}"  # fails for root, too: the name is too long
    monkeypatch.setenv("PATH", f"{closed}{os.pathsep}{tmp_path}")
    assert pulumi_cli.on_path() == [tmp_path / "pulumi"]


@pytest.mark.real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("pulumi", "host", "used"),
    [(STAND_IN_PULUMI, True, True), (STAND_IN_PULUMI, False, False), ("#!/bin/sh\necho v3.1.0\n", True, False)],
    ids=["pinned", "no language host", "another version"],
)
def test_pulumi_on_path_is_used_if_pinned_and_complete(pulumi: str, host: bool, used: bool, fresh: Clone) -> None:
    program(fresh.bin / "pulumi", pulumi)
    if not host:
        (fresh.bin / "pulumi-language-python").unlink()
    # Without the cache a build starts; this Go is recent enough and fails it.
    program(fresh.bin / "go", '#!/bin/sh\n[ "$1" = env ] && echo go9.9.9\n')
    code, output = fresh.set_up()
    assert code == (0 if used else 1), output
    assert ("not used: " in output) is not used


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(("  server:\n    kind: swarm\n", True), ("  server: {kind: swarm}\n", True)),
        *(
            (f"  server: {{image: x, {key}: {word}, port: 1}}\n", True)
            for key in ("kind", '"kind"', "'kind'")
            for word in ('"swarm"', "'swarm'")
        ),
        ("  broker: {topics: ['##', 'plant/#'], kind: swarm}\n", True),
        *(("  # kind: swarm\n", False), ("  server: {image: x} # kind: swarm\n", False)),
        *(("    kind: swarm-ca\n", False), ("    other_kind: swarm\n", False), ("", False)),
    ],
)
def test_kinds_of_a_stack_file_are_found_in_any_style(text: str, expected: bool, tmp_path: Path) -> None:
    (tmp_path / "Pulumi.dev.yaml").write_text(f"config:\n{text}")
    assert clone.asks_for("swarm", "dev", root=tmp_path) is expected
