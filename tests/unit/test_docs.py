"""Links and command lines on the pages. tests/stacks runs the README's commands."""

import json
import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from typer.main import get_command

from components.settings.settings import Settings
from secretops.cli import app
from secretops.errors import ExitCode
from tests.stacks.pages import NOT_RUN, RUN_BY
from tests.stacks.runbook import OPERATIONS, blocks, run_of, without
from tools.site_pages import OUTSIDE, as_github_does

ROOT = Path(__file__).resolve().parents[2]
PAGES = [*(ROOT / name for name in OUTSIDE), *sorted((ROOT / "docs").rglob("*.md"))]


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Yield each use of `program` on a page, in a shell block or inline code, as a list of shell words."""
    text = page.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    lines += re.findall(r"^\$ (.*)$", text, re.MULTILINE)
    lines += [" ".join(code.split()) for code in re.findall(r"(?<!`)`([^`]+)`(?!`)", text)]
    for line in lines:
        if program not in line or not re.match(rf"(.*[|(]\s*|\s+)?{program}\s", line):
            continue
        words: list[str] = []
        split = shlex.shlex(line, posix=True, punctuation_chars="|<>")
        split.whitespace_split = True
        for word in [*split, "|"]:
            if word == "|":
                if words and words[0] == program:
                    yield words
                words = []
            else:
                words.append(word)


def slugs(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {as_github_does(heading, "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    assert [link for link, _ in links if not (page.parent / link).exists()] == []
    anchored = [(page.parent / link if link else page, anchor) for link, anchor in links if anchor]
    assert [anchor for target, anchor in anchored if anchor not in slugs(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_secretops_command_and_option_on_a_page_exists(page: Path) -> None:
    whole = get_command(app)
    known = whole.commands  # type: ignore[attr-defined]
    inner = (one for command in known.values() for one in getattr(command, "commands", {}).values())
    every = [whole, *known.values(), *inner]
    options = {option for command in every for each in command.params for option in each.opts}
    for words in commands(page, "secretops"):
        if words[1][0].islower() and words[1].islower() and words[1] != "broker":
            assert words[1] in known, words
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= options, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for words in commands(page, "make") if re.fullmatch(r"[a-z-]+", words[1])}
    assert named <= targets


WITH_SHELL = [str(page.relative_to(ROOT)) for page in PAGES if blocks(page)]
RUNBOOKS = re.findall(r"\]\(([\w-]+\.md)\)", (OPERATIONS / "README.md").read_text().partition("\n## ")[0])


@pytest.mark.parametrize("page", WITH_SHELL)
def test_every_shell_block_of_a_page_is_run_by_a_test_but_for_what_the_table_names(page: str) -> None:
    """A test that follows a page fails if it does not run the whole page."""
    if run_of(ROOT / page):
        followed = "tests/stacks/test_runbooks.py" if Path(page).name in ("README.md", *RUNBOOKS) else None
        test = RUN_BY.get(page, followed)
        assert test, "no test runs it: say in tests/stacks/pages.py which one does, or what that would take"
        runs = (ROOT / test).read_text()
        assert re.search(rf'"({re.escape(page)}|{re.escape(Path(page).name)})"', runs), test
        assert re.search(r"\b(Page|blocks|run_of|shown_commands)\(", runs), test
    else:
        assert page not in RUN_BY, "nothing of it is run"


@pytest.mark.parametrize("page", NOT_RUN)
def test_every_entry_of_the_table_is_on_its_page(page: str) -> None:
    """The test that follows the page would run the command of an entry that matches no line."""
    for words in (words for entries in NOT_RUN[page].values() for words in entries):
        assert any(without(block, words) != block for block in blocks(ROOT / page)), words


FENCES = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)^ *```", re.DOTALL | re.MULTILINE)
BLOCKS = [
    pytest.param(language, textwrap.dedent(text), id=f"{page.relative_to(ROOT)}-{number}")
    for page in PAGES
    for number, (_, language, text) in enumerate(FENCES.findall(page.read_text()))
]


@pytest.mark.parametrize(("language", "text"), BLOCKS)
def test_every_block_of_a_page_is_of_its_language(language: str, text: str) -> None:
    """Whether a block works is tested elsewhere. RUN_BY names the tests that run commands."""
    match language:
        case "sh" | "bash":
            done = subprocess.run(["bash", "-n"], input=text, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (0, "")
        case "console":
            assert text.startswith("$ "), "a transcript starts with its command"
        case "json":
            json.loads(text)
        case "yaml":
            assert isinstance(yaml.safe_load(text), dict)
        case "python":
            compile(text, "a page", "exec")
        case _:
            assert language in ("hcl", "mermaid", "text", "typescript"), "a block says what it is; commands are `sh`"


def sections(text: str) -> dict[str, str]:
    document = yaml.safe_load(text)
    found = document.get("config") or document["resources"]["mcp"]["properties"]
    if "config" not in document:  # a component of one kind of store
        kind = document["resources"]["mcp"]["type"].partition("CorefluxSecrets")[2].lower()
        found["store"] = {"kind": kind, **found["store"]}
    if "store" not in found:
        (found,) = found.values()
    return {name: entry if isinstance(entry, str) else json.dumps(entry) for name, entry in found.items()}


@pytest.mark.parametrize(
    "text",
    [
        block.values[1]
        for block in BLOCKS
        if block.values[0] == "yaml" and not re.search("Role|^jobs:|^runtime:$", str(block.values[1]), re.MULTILINE)
    ],
)
def test_every_stack_that_a_page_declares_is_one_that_the_program_takes(text: str) -> None:
    Settings.parse("dev", sections(text))


def test_the_readme_has_at_most_120_lines() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= 120


def test_the_commands_page_lists_every_command_and_exit_code() -> None:
    text = (ROOT / "docs/commands.md").read_text()
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert re.search(rf"^\| \[`{name}`\].* \| .+ \|$", text, re.MULTILINE), name
    assert re.findall(r"^\| (\d+) \|", text, re.MULTILINE) == [str(code.value) for code in ExitCode]


@pytest.mark.parametrize(("make_words", "prompts"), [((), True), (("YES=1",), False)])
def test_make_up_of_a_stack_prompts_unless_yes_is_set(make_words: tuple[str, ...], prompts: bool) -> None:
    argv = ["make", "--dry-run", "--no-print-directory", "up", "STACK=prod", *make_words]
    lines = subprocess.run(argv, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    (up,) = [line.split() for line in lines if "pulumi up " in line]
    assert ("--yes" not in up) is prompts
    assert up[-2:] == ["--stack", "prod"]
