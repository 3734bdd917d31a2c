"""Every file of `broken/` is refused with all that is wrong with it, in words, and never with a secret of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from components.problems import WIDTH, Problem
from components.section import PROJECT_FOLDER
from components.stack_file import StackFile, StackFileError
from secretops.errors import ExitCode
from secretops.printable import printable
from settings import ConfigurationError, Settings
from tests.unit.broken_stack_files import CANARY, Broken, Told, broken_stack_files

ALL = tuple(broken_stack_files())

GOOD = """config:
  coreflux-mcp-secrets:store: {kind: dotenv}
  coreflux-mcp-secrets:server: {kind: local}
  coreflux-mcp-secrets:broker: {kind: coreflux, host: mqtt.example.com}
"""


def refusal(path: Path) -> tuple[list[Problem], str]:
    """What is wrong with the stack file at `path`, and what a person sees of it."""
    with pytest.raises((StackFileError, ConfigurationError)) as caught:
        file = StackFile.read(path)
        Settings.parse(file.stack, file.entries, encrypted=file.encrypted, others=file.others)
    refused = caught.value
    if isinstance(refused, StackFileError):
        return [refused.problem], str(refused)
    assert isinstance(refused, ConfigurationError)
    return refused.problems, str(refused)


@pytest.mark.parametrize("file", ALL, ids=lambda file: file.name)
def test_a_broken_stack_file_is_refused_with_all_that_is_wrong_with_it_where(file: Broken, tmp_path: Path) -> None:
    found, text = refusal(file.written(tmp_path))

    said = " ".join(text.split())
    assert len(found) == len(file.told), text
    for problem, told in zip(found, file.told, strict=True):
        assert printable(problem.what).endswith(told.what), text
        assert told.rule in problem.rule, text
        assert told.remedy in problem.remedy, text
        assert all(" ".join(printable(part).split()) in said for part in (problem.what, problem.rule, problem.remedy))
    assert CANARY not in text + repr(found)
    assert all(line.isprintable() for line in text.splitlines())
    for line in text.replace(str(tmp_path), "").splitlines():
        assert len(line) <= WIDTH or " " not in line.strip().removeprefix("-> "), "a terminal has 80 columns"


def test_there_are_more_than_a_hundred_and_fifty_of_them() -> None:
    assert len(ALL) >= 150
    assert len({file.text for file in ALL}) == len(ALL)


def test_most_are_broken_in_what_the_program_reads_some_as_yaml_some_by_a_value_and_some_more_than_once() -> None:
    """So that none of these kinds can fade out unseen."""
    assert sum(file.is_yaml for file in ALL) > 150
    assert sum(not file.is_yaml for file in ALL) > 20
    assert sum(file.has_value for file in ALL) > 15
    assert sum(len(file.told) > 1 for file in ALL) > 20


NESTED = "[" * 50_000 + "]" * 50_000


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ((GOOD + "  coreflux-mcp-secrets:log_level: é\n").encode("latin-1"), "not readable"),
        (GOOD.encode("utf-16"), "not readable"),
        ((GOOD + "\0").encode(), "not readable"),
        ((GOOD + "  coreflux-mcp-secrets:secrets: &all [*all]\n").encode(), "not readable"),  # no scanner ends on it
        ((GOOD + f"  coreflux-mcp-secrets:secrets: {NESTED}\n").encode(), "not readable"),
        ((GOOD + f"  coreflux-mcp-secrets:rotation: '{NESTED}'\n").encode(), "rotation: text"),
        ((GOOD + f"  coreflux-mcp-secrets:secrets: {'[' * 300}{']' * 300}\n").encode(), "secrets: text"),
        ((GOOD + f"  coreflux-mcp-secrets:rotation: {{mqtt_days: {'9' * 5000}}}\n").encode(), "not readable"),
        ((GOOD + f"  coreflux-mcp-secrets:log_level: {'x' * 200_000}\n").encode(), 'log_level: "xxxx'),
        ((GOOD + f"  coreflux-mcp-secrets:log_level: {'é' * 200_000}\n").encode(), 'log_level: "éééé'),
        (
            GOOD.encode() + b"".join(b"  coreflux-mcp-secrets:s%d: {}\n" % at for at in range(2_000)),
            "s0: unknown section",
        ),
    ],
    ids=["Latin-1", "UTF-16", "a NUL", "in itself", "deep", "text", "300 deep", "5,000 digits", "long", "wide", "many"],
)  # fmt: skip
def test_a_stack_file_that_no_editor_made_is_refused_in_words_too(tmp_path: Path, content: bytes, told: str) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_bytes(content)

    found, text = refusal(path)

    assert told in found[0].what
    assert found[0].remedy
    assert max(map(len, text.splitlines())) < WIDTH + len(str(path)) + 60


@pytest.mark.parametrize("name", ["Pulumi.yaml", "dev.yaml", "Pulumi..yaml"])
def test_a_file_of_another_name_is_no_stack_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GOOD)

    with pytest.raises(StackFileError, match=r"no stack file's name\n +a stack file is called"):
        StackFile.read(tmp_path / name)


def test_make_says_where_a_file_is_no_yaml_before_the_engine_can_repeat_what_stands_there(tmp_path: Path) -> None:
    """The engine's own reader does: "unknown anchor '…' referenced"."""
    file = next(file for file in ALL if file.name == "a password begins with an asterisk")
    asked = [sys.executable, "-m", "components.stack_file", str(file.written(tmp_path))]

    done = subprocess.run(asked, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False)

    assert done.returncode == ExitCode.USAGE
    assert "line 11: not readable" in done.stderr
    assert CANARY not in done.stdout + done.stderr


def test_make_leaves_to_the_program_what_is_yaml(tmp_path: Path) -> None:
    """Its sections may come from elsewhere: a Pulumi environment, for example."""
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_text("environment:\n  - plant/dev\n")

    asked = [sys.executable, "-m", "components.stack_file", str(path)]
    done = subprocess.run(asked, cwd=PROJECT_FOLDER, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("named", "told"),
    [
        ((), ["no file is named", "one: Pulumi.<stack>.yaml", "-> python -m components.stack_file Pulumi.dev.yaml"]),
        (("Pulumi.a.yaml", "Pulumi.b.yaml"), ["2 files are named", "one: Pulumi.<stack>.yaml"]),
        (("Pulumi.nosuch.yaml",), ["Pulumi.nosuch.yaml: No such file or directory", "may read", "->"]),
        (("nosuch.yaml",), ["nosuch.yaml: no stack file's name", "is called Pulumi.<stack>.yaml"]),
    ],
    ids=["none", "two", "not there", "another name"],
)
def test_a_stack_file_that_is_not_named_or_not_there_is_an_error_of_usage(
    tmp_path: Path, named: tuple[str, ...], told: list[str]
) -> None:
    asked = [sys.executable, "-m", "components.stack_file", *named]
    path = {"PYTHONPATH": os.pathsep.join(map(str, (PROJECT_FOLDER, PROJECT_FOLDER / "secretops/src")))}

    done = subprocess.run(asked, cwd=tmp_path, env=path, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (ExitCode.USAGE, "")
    assert all(part in " ".join(done.stderr.split()) for part in told), done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_told_is_more_than_one_word() -> None:
    """A fragment that any message has would prove nothing."""
    for told in (told for file in ALL for told in file.told):
        assert isinstance(told, Told)
        assert len(told.what) > 4 and len(told.rule) >= 4 and len(told.remedy) > 5, told
