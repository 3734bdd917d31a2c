"""What the pages say of each other and of the command line. The README's commands are run by tests/stacks."""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import botocore.session
import pytest
from botocore import xform_name
from typer.main import get_command

from components.sections import AgentSettings, BrokerSettings, IssuerSettings, ServerSettings, StoreSettings
from secretops.cli import app
from secretops.errors import ExitCode
from tests.stacks.runbook import OPERATIONS, blocks

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]

NO_API = {"configure", "s3", "sso"}
"""Commands of the AWS CLI that are its own, and none of a service's operations."""

OF_EVERY_COMMAND = {"region", "output", "query", "profile", "cli-read-timeout"}
"""Options that the AWS CLI takes anywhere."""


RUN_BY = {
    "agent-key.md": "tests/contract/test_agent_key_page.py",
    "certificates.md": "tests/contract/test_certificates_page.py",
    "doctor.md": "tests/contract/test_doctor_dotenv.py",
    "report.md": "tests/contract/test_report_page.py",
}
"""What runs the shell blocks of a runbook, where tests/stacks/test_runbooks.py does not."""


def commands(page: Path, program: str) -> Iterator[list[str]]:
    """Every use of `program` on a page, in a shell block or in a line of code, as the shell splits it."""
    text = page.read_text()
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
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
    """The anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    assert [link for link, _ in links if not (page.parent / link).exists()] == []
    anchored = [(page.parent / link if link else page, anchor) for link, anchor in links if anchor]
    assert [anchor for target, anchor in anchored if anchor not in slugs(target)] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_secretops_command_and_option_on_a_page_exists(page: Path) -> None:
    known = get_command(app).commands  # type: ignore[attr-defined]
    every = [*known.values(), *(one for command in known.values() for one in getattr(command, "commands", {}).values())]
    options = {option for command in every for each in command.params for option in each.opts}
    for words in commands(page, "secretops"):
        if words[1].islower() and words[1] != "broker":
            assert words[1] in known, words
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= options, words


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_on_a_page_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {words[1] for words in commands(page, "make") if re.fullmatch(r"[a-z-]+", words[1])}
    assert named <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_aws_command_on_a_page_is_an_operation_and_its_options_are_its_parameters(page: Path) -> None:
    """By AWS' own service models, which the AWS CLI is made from. That it does what the page says is not proven."""
    session = botocore.session.get_session()
    for _, service, *rest in commands(page, "aws"):
        if service in NO_API or not rest:
            continue
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        assert rest[0] in operations, rest
        shape = model.operation_model(operations[rest[0]]).input_shape
        parameters = {xform_name(name, "-") for name in shape.members} if shape else set()
        given = {word.removeprefix("--") for word in rest if re.fullmatch(r"--[a-z-]+", word)}
        assert given <= parameters | OF_EVERY_COMMAND, rest


RUNBOOKS = re.findall(r"\]\(([\w-]+\.md)\)", (OPERATIONS / "README.md").read_text().partition("\n\nOf a store")[0])


@pytest.mark.parametrize("page", ["README.md", *RUNBOOKS])
def test_every_shell_block_of_a_runbook_is_run_by_a_test(page: str) -> None:
    """One that the index names. What runs a page runs all of it, or fails."""
    if blocks(OPERATIONS / page):
        runs = (ROOT / RUN_BY.get(page, "tests/stacks/test_runbooks.py")).read_text()
        assert re.search(rf'(Page\([\w.]+, |blocks\(OPERATIONS / )"{re.escape(page)}"\)', runs)


def test_every_page_of_operations_is_in_the_index() -> None:
    pages = {path.name for path in OPERATIONS.glob("*.md")} - {"README.md"}
    assert pages <= set(re.findall(r"\]\(([\w-]+\.md)\)", (OPERATIONS / "README.md").read_text()))


def test_the_readme_lists_every_command_and_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`secretops {name}" in text
    assert re.findall(r"^\| (\d) \|", text, re.MULTILINE) == [str(code.value) for code in ExitCode]


SECTIONS = {
    **{"store": StoreSettings, "server": ServerSettings, "broker": BrokerSettings},
    **{"agent": AgentSettings, "issuer": IssuerSettings},
}


@pytest.mark.parametrize("section", SECTIONS)
def test_the_readme_has_every_key_of_a_section(section: str) -> None:
    table = (ROOT / "README.md").read_text().partition("| section | keys")[2]
    rows = re.search(rf"^\| `{section}` \|.*\n(\| \|.*\n)*", table, re.MULTILINE)
    assert rows, section
    for model in get_args(SECTIONS[section]):
        (kind, *_) = get_args(model.model_fields["kind"].annotation)
        (row,) = [row for row in rows[0].splitlines() if f"`kind: {kind}`" in row]
        assert model.model_fields.keys() - {"kind"} <= set(re.findall(r"`(\w+)`", row)), kind


@pytest.mark.parametrize(("given", "asks"), [((), True), (("YES=1",), False)])
def test_make_up_of_a_stack_asks_unless_told_that_nobody_answers(given: tuple[str, ...], asks: bool) -> None:
    told = ["make", "--dry-run", "--no-print-directory", "up", "STACK=prod", *given]
    lines = subprocess.run(told, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    (up,) = [line.split() for line in lines if "pulumi up " in line]
    assert ("--yes" not in up) is asks
    assert up[-2:] == ["--stack", "prod"]


def test_make_tells_its_targets_and_the_readme_those_that_deploy() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z-]+):", makefile, re.MULTILINE))
    told = set(re.findall(r"^\t@echo \"make ([a-z-]+) ", makefile, re.MULTILINE))
    assert targets - told == {"help", "setup", "stack-file", "lint", "types", "contracts"}
    assert {"up", "down", "lambda", "preview"} <= {words[1] for words in commands(ROOT / "README.md", "make")}
