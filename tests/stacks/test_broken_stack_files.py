"""Broken stack files under the real engine: what a person sees of them, and that nothing is made.

All of them are held to their words in tests/unit/test_broken_stack_files.py. Here is a choice of each kind: what is no
YAML is told by the engine itself, the rest by the program.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.stacks.project import BIN, ROOT, Stack, new_stack
from tests.unit.broken_stack_files import CANARY, Broken, broken_stack_files

pytestmark = pytest.mark.real

CHOSEN = frozenset(
    {
        "a line is indented by a tab",
        "an entry begins with an at sign",
        "a section is there twice",
        "a quote is not closed",
        "an anchor contains itself",
        "config has nothing of this program",
        "the project is misspelt",
        "a section of its own default has the project misspelt",
        "a section has a cyrillic letter",
        "a sections name would colour a terminal",
        "a stores kind is misspelt",
        "a key has a dash for an underscore",
        "a port is a time of day",
        "days are negative",
        "a host turns the line round",
        "a password is the brokers",
        "a host is a url with a login",
        "a connection string is a declared field",
        "a folders values are for a cluster",
        "there is no tls in production",
        "every section has an error",
        "a value and a contradiction",
    }
)
ALL = {file.name: file for file in broken_stack_files()}
REPEATED_BY_THE_ENGINE = "a password begins with an asterisk"
"""Its reader names the anchor that there is not. So `make` asks components.stack_file first."""


@pytest.fixture(scope="module")
def stacks(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Stack]:
    """One of each name that a chosen file has."""
    names = {ALL[name].stack for name in CHOSEN}
    return {name: new_stack(tmp_path_factory.mktemp(name), port=1883, name=name) for name in names}


@pytest.mark.parametrize("file", [ALL[name] for name in sorted(CHOSEN)], ids=lambda file: file.name)
def test_the_engine_refuses_a_broken_stack_file_in_words_where(stacks: dict[str, Stack], file: Broken) -> None:
    stack = stacks[file.stack]
    stack.configure(file.text)

    done = stack.run("preview")

    assert done.returncode != 0
    assert "Traceback" not in done.stdout
    assert CANARY not in done.stdout
    said = " ".join(done.stdout.split())
    if file.is_yaml:
        for told in file.told:
            assert all(part in said for part in (told.what, told.rule, told.remedy)), done.stdout
    else:
        assert "yaml" in said, done.stdout
    assert not stack.root.exists()


@pytest.mark.parametrize("name", ["days are negative", "every section has an error"])
def test_what_is_wrong_is_the_last_that_is_told_and_not_how_the_program_ended(
    stacks: dict[str, Stack], name: str
) -> None:
    stack = stacks[ALL[name].stack]
    stack.configure(ALL[name].text)

    done = stack.run("preview")

    assert done.returncode != 0
    assert "unhandled" not in done.stdout
    assert "exit code" not in done.stdout
    assert done.stdout.partition("Diagnostics:")[2].count("error:") == 1, done.stdout


@pytest.mark.parametrize(
    ("crash", "told"),
    [("1 / 0", "ZeroDivisionError"), ("import sys; sys.exit(1)", "exit code"), ("import os; os.abort()", "exit code")],
)
def test_a_crash_of_the_program_is_told_as_one(stacks: dict[str, Stack], tmp_path: Path, crash: str, told: str) -> None:
    for name in ("__main__.py", "Pulumi.yaml", "components", ".venv"):
        (tmp_path / name).symlink_to(ROOT / name)
    (tmp_path / "settings.py").write_text(crash)
    stack = stacks["dev"]
    (tmp_path / f"Pulumi.{stack.name}.yaml").write_text(stack.configure().read_text())
    command = [str(BIN / "pulumi"), "preview", "--stack", stack.name, "--non-interactive"]

    done = subprocess.run(command, cwd=tmp_path, env=stack.environment, capture_output=True, text=True, check=False)

    assert done.returncode != 0
    assert told in done.stdout + done.stderr


def test_the_engines_own_reader_repeats_one_thing_that_is_no_yaml(stacks: dict[str, Stack]) -> None:
    """The day it does not, `make` need not look before it."""
    file = ALL[REPEATED_BY_THE_ENGINE]
    stack = stacks[file.stack]
    stack.configure(file.text)

    assert f"unknown anchor '{CANARY}' referenced" in stack.run("preview").stdout
