"""Errors of `make` before it changes anything, with a stand-in for Python that records its arguments. tests/stacks and
tests/tools run the recipes."""

import os
import pty
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from bench.__main__ import PARTS
from components.settings.section import PROJECT_FOLDER
from secretops.broker import process
from secretops.broker.users import create_first_admin
from secretops.cli.serving import broker_stop
from secretops.errors import ExitCode
from tests.real.ports import free_port

pytestmark = pytest.mark.real

PYTHON = f"""#!/bin/sh
echo "$*" >> calls
[ "$1" = -m ] && exec {sys.executable} -S "$@"  # with nothing but the standard library
exit 9
"""


@dataclass(frozen=True)
class Folder:
    path: Path

    def make(self, *words: str, stdin: int = subprocess.DEVNULL, stdout: int = subprocess.PIPE, code: int = 2) -> str:
        """Run `make`, and return its standard error. It must exit with `code`; make exits with 2 after any error."""
        inherited = {name: text for name, text in os.environ.items() if not name.startswith(("MAKE", "PULUMI", "CI"))}
        done = subprocess.run(
            ["make", "--no-print-directory", f"PYTHON={self.path / 'python'}", *words], cwd=self.path, env=inherited,
            stdin=stdin, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr
        return done.stderr

    @property
    def has_begun(self) -> bool:
        record = self.path / "calls"
        return record.exists() and "tools/setup.py" in record.read_text()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    shutil.copy(PROJECT_FOLDER / "Makefile", tmp_path)
    (tmp_path / "bench").symlink_to(PROJECT_FOLDER / "bench")
    for stack in ("dev", "plant"):
        (tmp_path / f"Pulumi.{stack}.yaml").touch()
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return Folder(tmp_path)


def test_make_up_of_a_stack_is_refused_before_it_begins_where_nobody_can_answer(folder: Folder) -> None:
    printed = folder.make("up", "STACK=plant")
    assert "make up STACK=plant YES=1" in printed
    assert max(map(len, printed.splitlines())) <= 80
    assert not folder.has_begun


def test_make_up_of_a_stack_begins_at_a_terminal(folder: Folder) -> None:
    """Of the recipes that run at the same time, make gives its terminal to one."""
    terminal, makes = pty.openpty()
    try:
        output = folder.make("-j8", "up", "STACK=plant", stdin=makes, stdout=makes)
    finally:
        os.close(terminal)
        os.close(makes)
    assert "no terminal" not in output
    assert folder.has_begun


@pytest.mark.parametrize("words", ["up STACK=plant YES=1", "up", "preview"])
def test_make_starts_without_a_terminal_when_no_prompt_is_needed(folder: Folder, words: str) -> None:
    folder.make(*words.split())
    assert "--check" in (folder.path / "calls").read_text()


@pytest.mark.parametrize("target", ["up", "preview"])
def test_a_stack_without_a_file_is_refused_with_those_that_there_are(folder: Folder, target: str) -> None:
    for number in range(9):
        (folder.path / f"Pulumi.plant-{number}.yaml").touch()
    printed = folder.make(target, "STACK=nosuch").partition("\nmake: ")[0]
    text = printed.replace("\n", "")
    assert re.match(r"Pulumi\.nosuch\.yaml .*: Pulumi\.dev\.yaml Pulumi\.plant-0\.yaml .* Pulumi\.plant\.yaml->", text)
    assert max(map(len, printed.splitlines())) <= 80
    assert not folder.has_begun


def test_make_bench_names_a_part_that_there_is_not_before_it_sets_anything_up(folder: Folder) -> None:
    output = folder.make("bench", "PART=preview nosuch")
    assert output.startswith(f"nosuch: not a part; the parts are {', '.join(PARTS)}\n")
    assert not folder.has_begun


def test_make_clean_runs_nothing_that_fails_without_the_stack(folder: Folder) -> None:
    programs = folder.path / ".venv" / "bin"
    programs.mkdir(parents=True)
    (programs / "secretops").write_text('#!/bin/sh\necho "$*" >> called\n[ "$4" = dev ] || exit 2\n')
    (programs / "secretops").chmod(0o755)
    folder.make("clean", "STACK=nosuch", code=ExitCode.DONE)
    assert (folder.path / "called").read_text() == "broker stop --stack nosuch\nbroker stop --stack dev\n"
    assert not programs.exists()


@pytest.mark.parametrize("runs", [False, True])
def test_the_default_brokers_stop_needs_no_stack(
    runs: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / ".coreflux-mcp" / "broker"
    (tmp_path / "Pulumi.yaml").write_text("name: another\nruntime: python\n")
    monkeypatch.chdir(tmp_path)
    if runs:
        assert create_first_admin(home) is not None
        process.start(home, "localhost", free_port())
    assert broker_stop("dev") == ExitCode.DONE
    assert ("the embedded broker is stopped" if runs else "nothing to stop") in capsys.readouterr().out
    assert process.running(home) is None


def test_no_line_of_the_help_is_longer_than_80_characters() -> None:
    done = subprocess.run(["make", "help"], cwd=PROJECT_FOLDER, capture_output=True, text=True, check=True)
    assert max(map(len, done.stdout.splitlines())) <= 80
