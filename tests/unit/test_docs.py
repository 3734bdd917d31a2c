"""What the pages say of each other and of the command line. The README's commands are run by tests/stacks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

from secretops.cli import app
from secretops.errors import ExitCode

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_within_the_repository_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_secretops_command_and_option_on_a_page_exists(page: Path) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = page.read_text()
    named = set(re.findall(r"`secretops ([a-z]+)", text)) - {"broker"}
    assert named <= set(commands)
    options = {option for command in commands.values() for each in command.params for option in each.opts}
    for line in re.findall(r"`secretops [^`]*`", text):
        assert set(re.findall(r"(?<!\S)--[a-z-]+", line)) <= options, line


def test_the_readme_lists_every_command_and_exit_code() -> None:
    text = (ROOT / "README.md").read_text()
    for name in get_command(app).commands:  # type: ignore[attr-defined]
        assert f"`secretops {name}" in text
    assert re.findall(r"^\| (\d) \|", text, re.MULTILINE) == [str(code.value) for code in ExitCode]
