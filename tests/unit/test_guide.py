"""docs/guide.md has each line of the Secret Management Guide, in its order, with what makes it true."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from secretops.errors import SecretopsError
from secretops.launcher.checkout import find_server
from tools.pages import ROOT

HEADINGS = ("Storage Methods", "File-based Secrets", "Environment-Specific", "Secret Detection")
"""Sections of the guide whose points are headings; the others' are lists."""


def points(guide: str) -> Iterator[str]:
    """Each thing that the guide asks for: its lists' entries, and headings where it has no list."""
    prose = re.sub(r"```.*?```", "", guide, flags=re.DOTALL)
    for section in re.split(r"^## ", prose, flags=re.MULTILINE)[1:]:
        if section.startswith(HEADINGS):
            yield from re.findall(r"^### (.+)$", section, re.MULTILINE)
        else:
            for line in re.findall(r"^\s*(?:- \[ \]|-|\d+\.) (.+)$", section, re.MULTILINE):
                yield line.strip().rstrip(":")


def test_every_line_of_the_guide_stands_on_the_page_in_its_order() -> None:
    try:
        guide = (find_server().folder / "docs/SECRET_MANAGEMENT.md").read_text()
    except (SecretopsError, FileNotFoundError):
        pytest.skip("the upstream server, whose guide it is, is not here: say where by COREFLUX_SERVER_DIR")
    asked = list(points(guide))
    page = (ROOT / "docs/guide.md").read_text()

    answered = re.findall(r"^\| (?!the guide)(.+?) \| .{5,} \|$", page, re.MULTILINE)

    assert len(asked) > 70
    assert answered == asked
