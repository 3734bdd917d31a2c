"""Settings and their rules, from docs/settings.md in the clone of the job that comments."""

from __future__ import annotations

import re
from functools import cache

from tools.steps import ROOT

_ROW = re.compile(r"\| `([a-z_.]+)` \| [^|]* \| ([^|]*) \|")


@cache
def rules() -> dict[str, str]:
    """Map each setting's path to its rule, or to "" if the rule depends on the section's kind."""
    found: dict[str, set[str]] = {}
    section = ""
    for line in (ROOT / "docs/settings.md").read_text().splitlines():
        if line.startswith("## "):
            section = line.removeprefix("## ").strip("` ")
        elif row := _ROW.match(line):
            found.setdefault(f"{section}.{row[1]}", set()).add(row[2].strip())
    return {path: rules.pop() if len(rules) == 1 else "" for path, rules in found.items()}


def known(path: str) -> str:
    """Return the path if it is documented, otherwise its nearest documented parent, or ""."""
    while path and path not in rules() and not any(one.startswith(f"{path}.") for one in rules()):
        path = path.rpartition(".")[0]
    return path
