"""The tables of a page of docs/, for tests that hold the page to the program."""

from __future__ import annotations

import re


def rows(page: str, section: str) -> dict[str, str]:
    """The rest of each row of the table whose first column is headed so, by what is in that column."""
    table = page.partition(f"| {section} |")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    for row in table.splitlines()[2:]:
        first, rest = row.strip("| ").split(" | ", 1)
        found |= dict.fromkeys(re.findall(r"`([\w.-]+)`", first), rest)
    return found
