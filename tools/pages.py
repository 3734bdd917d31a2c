"""Generate pages and parts of pages: `python -m tools.pages`. A test rejects outdated ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from components.core import matrix
from tools import (
    arguments_file,
    commands_page,
    compliance_page,
    cost_page,
    dashboard,
    decisions_page,
    messages_page,
    reliability_page,
    settings_page,
    stack_file_schema,
)

ROOT = Path(__file__).resolve().parent.parent


def stores() -> str:
    return _with_tables("docs/stores.md", pairs=matrix.pairs_table(), gaps=matrix.gaps_table())


def aws() -> str:
    return _with_tables("docs/operations/aws.md", cost=cost_page.table("aws", "prod"))


def azure() -> str:
    return _with_tables("docs/operations/azure.md", cost=cost_page.table("azure-native", "prod-azure"))


def _with_tables(path: str, **tables: str) -> str:
    text = (ROOT / path).read_text()
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"<!-- /{name} -->"
        before, _, rest = text.partition(begin)
        text = f"{before}{begin}{table}{end}{rest.partition(end)[2]}"
    return text


# Path -> a function that returns the current page.
PAGES: Mapping[str, Callable[[], str]] = {
    "components/arguments.py": arguments_file.for_python,
    "package/plugin/sections.py": arguments_file.for_plugin,
    "monitoring/dashboard.json": dashboard.render,
    "docs/adr/README.md": decisions_page.render,
    "docs/commands.md": commands_page.render,
    "docs/messages.md": messages_page.render,
    **compliance_page.RENDERED,
    "docs/operations/aws.md": aws,
    "docs/operations/azure.md": azure,
    "docs/reliability.md": reliability_page.render,
    "docs/settings.md": settings_page.render,
    "docs/stack-file.schema.json": stack_file_schema.render,
    "docs/stores.md": stores,
}


def main() -> int:
    for path, render in PAGES.items():
        text = render()
        if not (ROOT / path).exists() or (ROOT / path).read_text() != text:
            (ROOT / path).write_text(text)
            print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
