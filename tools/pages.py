"""The pages, and parts of pages, that are generated: `python -m tools.pages` writes them, a test refuses old ones.

Exit code 0: they are up to date now.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from components import matrix
from tools import commands_page, compliance_page, reliability_page, settings_page

ROOT = Path(__file__).resolve().parent.parent


def readme() -> str:
    """The README, with the matrix of today."""
    begin, end = "<!-- matrix -->\n", "<!-- /matrix -->"
    before, _, rest = (ROOT / "README.md").read_text().partition(begin)
    return f"{before}{begin}{matrix.markdown()}{end}{rest.partition(end)[2]}"


PAGES: Mapping[str, Callable[[], str]] = {
    "README.md": readme,
    "docs/commands.md": commands_page.render,
    "docs/compliance.json": compliance_page.render_evidence,
    "docs/compliance.md": compliance_page.render,
    "docs/reliability.md": reliability_page.render,
    "docs/settings.md": settings_page.render,
}
"""Path -> the whole page as it should be."""


def main() -> int:
    for path, render in PAGES.items():
        text = render()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text:
            (ROOT / path).write_text(text)
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
