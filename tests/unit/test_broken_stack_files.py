"""Each row of broken_stack_files.yaml is rejected with all of its errors, and no error repeats a secret."""

import sys
from collections import Counter
from pathlib import Path

import pytest

from components.settings import stack_file
from components.settings.problems import WIDTH, Problem, place_of
from components.settings.settings import MOST_ERRORS, ConfigurationError, Settings
from components.settings.stack_file import StackFile, StackFileError
from secretops.errors import ExitCode
from tests.unit.broken_stack_files import CANARY, Broken, base, bases, names, row

GOOD = """config:
  coreflux-mcp-secrets:store: {kind: dotenv}
  coreflux-mcp-secrets:server: {kind: local}
  coreflux-mcp-secrets:broker: {kind: coreflux, host: mqtt.example.com}
"""
OWN = "  coreflux-mcp-secrets:"


@pytest.mark.parametrize("name", names())
def test_a_broken_stack_file_is_refused_with_each_of_its_errors(name: str) -> None:
    broken = row(name)
    error = broken.refusal()
    assert error is not None, "it is accepted"
    assert Counter(map(place_of, error.problems)) == Counter(place for place, _ in broken.errors)
    assert all(problem.remedy for problem in error.problems)
    for place, part in broken.errors:
        found = [(one.code, one.remedy) for one in error.problems if place_of(one) == place]
        assert any(part == code or part in remedy for code, remedy in found), (place, part, found)
    assert CANARY not in str(error) + repr(error.problems)
    for line in str(error).splitlines():
        assert line.isprintable()
        assert len(line) <= WIDTH or " " not in line.strip().removeprefix("-> "), "a terminal has 80 columns"


@pytest.mark.parametrize("name", bases())
def test_a_wrong_entry_is_not_repeated_at_any_place(name: str) -> None:
    wrong, refused = f"{CANARY} {{}}", 0
    for section, entries in base(name).items():
        for key, entry in entries.items():
            changed = base(name)
            changed[section][key] = [wrong] if isinstance(entry, list) else wrong
            error = Broken(stack="dev", sections=changed, errors=()).refusal()
            refused += error is not None
            assert CANARY not in str(error)
    assert refused >= len(base(name))


def test_of_many_errors_twenty_are_printed_and_the_rest_is_counted() -> None:
    sections = base("dotenv") | {f"part-{at}": {"a": 1} for at in range(1_000)}
    error = Broken(stack="dev", sections=sections, errors=()).refusal()
    assert error is not None
    assert len(error.problems) == 1_000
    assert len(str(error)) < 5_000
    assert str(error).count("unknown section") == MOST_ERRORS == 20
    assert str(1_000 - MOST_ERRORS) in str(error).splitlines()[-1]


def refusal(path: Path) -> tuple[list[Problem], str]:
    """Return the errors of the stack file at `path`, and the printed text."""
    with pytest.raises((StackFileError, ConfigurationError)) as caught:
        file = StackFile.read(path)
        Settings.parse(file.stack, file.entries, encrypted=file.encrypted, others=file.others)
    error = caught.value
    if isinstance(error, StackFileError):
        return [error.problem], str(error)
    assert isinstance(error, ConfigurationError)
    return error.problems, str(error)


NESTED = "[" * 600 + "]" * 600


@pytest.mark.parametrize(
    ("content", "part"),
    [
        (GOOD.encode("utf-16"), "line 1: not UTF-8"),
        ((GOOD + f"{OWN}log_level: *{CANARY}\n").encode(), "line 5, column 35: found undefined alias"),
        ((GOOD + f"{OWN}log_level: '{CANARY}\n").encode(), "line 6, column 1: while scanning a quoted scalar"),
        ((GOOD + f"{OWN}rotation: {{~: 1}}\n").encode(), "line 5, column 35: found an empty key"),
        ((GOOD + f"{OWN}rotation: {{mqtt_days: 1, mqtt_days: 2}}\n").encode(), "line 5, column 49: found a key"),
        ((GOOD + f"{OWN}secrets: &all [*all]\n").encode(), "within its anchor"),
        ((GOOD + f"{OWN}secrets: {NESTED}\n").encode(), "nested too deeply"),
        ((GOOD + f"{OWN}rotation: {{mqtt_days: {'9' * 5000}}}\n").encode(), "thousands of digits"),
        ((GOOD + f"{OWN}log_level: !{CANARY} x\n").encode(), "a constructor for the tag (not shown)"),
        ((GOOD + f"\t{CANARY}: x\n").encode(), r"found character '\t' that cannot start any token"),
        ((GOOD + f"{OWN}log_level: \a{CANARY}\n").encode(), "line 5: found a character that YAML does"),
        ((GOOD + "  broker: {kind: embedded}\n").encode(), "a section occurs twice"),
        (b"variables: {}\n", "the key config: is missing"),
        ((GOOD + f"{OWN}rotation: '{'[' * 50_000}'\n").encode(), "rotation: text"),
        ((GOOD + '  "coreflux-mcp-secrets:log\\e[31m": x\n').encode(), "unknown section"),
        ((GOOD + f"{OWN}log_level: {'é' * 20_000}\n").encode(), "log_level: "),
    ],
    ids=lambda value: value if isinstance(value, str) else "",  # a file has a canary, another in each worker
)  # fmt: skip
def test_a_file_that_is_no_stack_file_is_refused(tmp_path: Path, content: bytes, part: str) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    path.write_bytes(content)
    found, text = refusal(path)
    assert part in found[0].what
    assert found[0].remedy
    assert CANARY not in text
    assert all(line.isprintable() for line in text.splitlines())
    assert max(map(len, text.splitlines())) < WIDTH + len(str(path)) + 60


@pytest.mark.parametrize("name", ["Pulumi.yaml", "dev.yaml", "Pulumi..yaml"])
def test_a_file_of_another_name_is_no_stack_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(GOOD)
    with pytest.raises(StackFileError, match="file-name"):
        StackFile.read(tmp_path / name)


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (f"{GOOD}{OWN}log_level: *{CANARY}\n", ExitCode.USAGE),  # the engine's own reader would repeat it
        (f"{GOOD}{OWN}password: {CANARY}\n", ExitCode.USAGE),  # its history would contain it
        (f"{GOOD}  aws:secretKey: {CANARY}\n", ExitCode.USAGE),
        (f"{GOOD}{OWN}log_level: LOUD\n", ExitCode.USAGE),
        (GOOD, None),
        ("environment:\n  - plant/dev\n", None),  # its sections may come from a Pulumi environment
        (None, ExitCode.USAGE),
    ],
    ids=["no YAML", "value", "value of another program", "wrong", "good", "no sections", "not there"],
)
def test_make_refuses_a_wrong_stack_file(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: str | None,
    code: int | None,
) -> None:
    path = tmp_path / "Pulumi.dev.yaml"
    if content is not None:
        path.write_text(content)
    monkeypatch.setattr(sys, "argv", ["stack_file", str(path)])
    if code is None:
        stack_file.main()
    else:
        with pytest.raises(SystemExit) as ended:
            stack_file.main()
        assert ended.value.code == code
    printed = capsys.readouterr()
    assert CANARY not in printed.out + printed.err
    assert bool(printed.err) == (code is not None)
