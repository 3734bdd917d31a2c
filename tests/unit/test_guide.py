"""docs/guide.md lists each point, command and file of the Secret Management Guide, in the same order."""

import re
from collections.abc import Iterator

import pytest

from tests.real.upstream import real_server
from tools.pages import ROOT

# Sections of the guide whose points are headings; the others' are lists.
HEADINGS = ("Storage Methods", "File-based Secrets", "Environment-Specific", "Secret Detection")


def points(guide: str) -> Iterator[str]:
    prose = re.sub(r"```.*?```", "", guide, flags=re.DOTALL)
    for section in re.split(r"^## ", prose, flags=re.MULTILINE)[1:]:
        if section.startswith(HEADINGS):
            yield from re.findall(r"^### (.+)$", section, re.MULTILINE)
        else:
            for line in re.findall(r"^\s*(?:- \[ \]|-|\d+\.) (.+)$", section, re.MULTILINE):
                yield line.strip().rstrip(":")


def commands(guide: str) -> Iterator[str]:
    """Yield each command of the guide's code blocks, and "" for any other block."""
    for language, block in re.findall(r"```(\w*)\n(.*?)```", guide, re.DOTALL):
        if language != "bash" or block.startswith("# .env"):
            yield ""
        else:
            lines = re.sub(r" *\\\n *", " ", block).splitlines()
            yield from (line for line in lines if line and not line.startswith("#"))


@pytest.fixture(scope="module")
def guide() -> str:
    server = real_server()
    page = server / "docs/SECRET_MANAGEMENT.md" if server else None
    if page is None or not page.is_file():
        pytest.skip("the upstream server, whose guide it is, is not here: set COREFLUX_SERVER_DIR to its folder")
    return page.read_text()


def rows() -> tuple[list[str], list[str]]:
    """Return the first cells of the page's tables, and those of its table of commands and files."""
    points, _, commands = (ROOT / "docs/guide.md").read_text().partition("\n## Commands and files of the guide\n")
    first_cell = re.compile(r"^\| (?!the guide)(.+?) (?<!\\)\| .{5,} (?:\||<!-- pragma: .* -->)$", re.MULTILINE)
    return first_cell.findall(points), first_cell.findall(commands)


def test_the_page_lists_every_point_of_the_guide_in_its_order(guide: str) -> None:
    wanted_points = list(points(guide))
    assert len(wanted_points) > 70
    assert rows()[0] == wanted_points


def test_the_page_lists_every_command_and_file_of_the_guide_in_its_order(guide: str) -> None:
    listed = [cell.replace(r"\|", "|") for cell in rows()[1]]
    wanted = list(commands(guide))
    assert len(wanted) > 20
    assert ["" if not command else cell for cell, command in zip(listed, wanted, strict=True)] == [
        command and f"`{command}`" for command in wanted
    ]
