"""Adapt the repository's pages to mkdocs, as a hook of mkdocs.yml.

README.md and other pages outside docs/ become pages of the site. A link to a page leads to the same page of the site; a
link to any other file becomes the file's name. Lists are indented by four columns, as Python-Markdown requires. Each
cell of a table gets the name of its column, for narrow screens (site.css).
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # mkdocs loads a hook by its path, without its package

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
# Page in the repository -> page of the site.
OUTSIDE = {
    "README.md": "index.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "security.md",
    "CHANGELOG.md": "changelog.md",
}

# A block of code. Links in it are text.
FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)

# The marker of a list item.
ITEM = re.compile(r"(?:[-*+]|\d{1,9}[.)]) +(?=\S)")

TABLE = re.compile(r"<table>.*?</table>", re.DOTALL)
CELL = re.compile(r"<t([hd])([^>]*)>(.*?)</t[hd]>", re.DOTALL)
CODE = re.compile(r"<code>[^<]*</code>")

IMAGE = re.compile(r"!\[([^\]]*)\]\((?!https?://)([^)\s]+)\)")

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)]*)?\)")


def as_github_does(text: str, separator: str) -> str:
    """Return a heading's anchor, as GitHub forms it. mkdocs' `separator` is always a dash."""
    return re.sub(r"[^\w -]", "", text.lower()).replace(" ", separator)


def on_config(config: Any) -> Any:
    decisions = sorted(path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).glob("adr/*.md"))
    config.nav.append({"Decisions": decisions})
    return config


def on_files(files: Files, config: Any) -> Files:
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Rewrite the links of a page for the site, and indent its lists."""
    at = next((source for source, name in OUTSIDE.items() if name == page.file.src_uri), f"docs/{page.file.src_uri}")

    def in_site(link: re.Match[str]) -> str:
        words, path, anchor = link.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(at), path))
        name = OUTSIDE.get(target) or target.removeprefix("docs/")
        found = next((one for one in (name, f"{name}/README.md") if files.get_file_from_path(one)), None)
        if found is None and not target.endswith(".md"):
            return words if words.strip("`") == target else f"{words} (`{target}`)"
        path = posixpath.relpath(found or name, posixpath.dirname(page.file.src_uri) or ".")
        return f"[{words}]({path}{anchor or ''})"

    def image(found: re.Match[str]) -> str:
        words, path = found.groups()
        target = posixpath.normpath(posixpath.join(posixpath.dirname(at), path)).removeprefix("docs/")
        return f"![{words}]({posixpath.relpath(target, posixpath.dirname(page.file.src_uri) or '.')})"

    parts = FENCED.split(markdown)
    linked = (part if FENCED.fullmatch(part) else IMAGE.sub(image, LINK.sub(in_site, part)) for part in parts)
    return indent_lists("".join(linked))


def on_page_content(html: str, *, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """Add its column's name to each table cell."""
    return TABLE.sub(lambda table: name_cells(table.group()), html)


def indent_lists(markdown: str) -> str:
    """Indent the content of list items by four columns per level."""
    lines: list[str] = []
    open_items: list[int] = []  # the columns at which the content of each open item starts
    fence, paragraph = "", True
    for line in markdown.split("\n"):
        text = line.lstrip(" ")
        column = len(line) - len(text)
        if not text:
            lines.append("")
            paragraph = True
            continue
        if not fence:
            while open_items and column < open_items[-1]:
                open_items.pop()
        within = open_items[-1] if open_items else 0
        item = None if fence else ITEM.match(text)
        if item and paragraph and lines and lines[-1]:
            lines.append("")
        lines.append(" " * (4 * len(open_items) + max(column - within, 0)) + text)
        if text.startswith("```"):
            fence = "" if fence else "```"
        elif item:
            open_items.append(column + len(item.group()))
            paragraph = False
    return "\n".join(lines)


def name_cells(table: str) -> str:
    """Set `data-column` of cells to their column's header. Let long names in code break after a dot, slash or plus."""
    head, body, rows = table.partition("<tbody>")
    names = [re.sub(r"<[^>]+>", "", text).strip() for _, _, text in CELL.findall(head)]

    def named(row: str) -> str:
        columns = iter(names)
        row = CODE.sub(lambda code: re.sub(r"(?<=[\w…])[./+](?=\w)", r"\g<0><wbr>", code[0]), row)
        return CELL.sub(lambda cell: f'<td{cell[2]} data-column="{next(columns, "")}">{cell[3]}</td>', row)

    return head + body + "</tr>".join(named(row) for row in rows.replace(r"\|", "|").split("</tr>"))
