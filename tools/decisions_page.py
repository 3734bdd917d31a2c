"""Generate docs/adr/README.md: the decision records, by number and title."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "adr"

# File names of records, without the index.
RECORDS = "[0-9]*.md"

HEAD = """# Decisions

Each record has the context, the decision, the consequences, and the rejected alternatives. The
[glossary](../glossary.md) defines the terms. `make docs` generates this index.
"""


def render() -> str:
    titles = {path.name: path.read_text().partition("\n")[0].removeprefix("# ") for path in FOLDER.glob(RECORDS)}
    return HEAD + "".join(f"\n* [{titles[name]}]({name})" for name in sorted(titles)) + "\n"
