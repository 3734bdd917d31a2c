"""What mkdocs is told of this repository: two pages lie outside its folder, and links lead to files that are no pages.

A hook of mkdocs (mkdocs.yml). README.md is the site's index.md, CONTRIBUTING.md its contributing.md. A link that works
in the repository leads to the same page of the site; one to a file that is no page becomes the file's name.
"""

from __future__ import annotations

import posixpath
import re
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # mkdocs loads a hook by its path alone

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parent.parent
OUTSIDE = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages of the repository -> of the site."""

FENCED = re.compile(r"(^ *```.*?^ *```$)", re.DOTALL | re.MULTILINE)
"""A block of code, which has no links."""

LINK = re.compile(r"(?<!!)\[([^\]]+)\]\((?!https?://|mailto:|#)([^)#\s]+)(#[^)]*)?\)")


def as_github_does(text: str, separator: str) -> str:
    """The anchor of a heading. `separator` is the extension's to give, and always a dash."""
    return re.sub(r"[^\w -]", "", text.lower()).replace(" ", separator)


def on_config(config: Any) -> Any:
    """The decisions join the navigation by their names: there are many, and each has its title."""
    decisions = sorted(path.relative_to(config.docs_dir).as_posix() for path in Path(config.docs_dir).glob("adr/*.md"))
    config.nav.append({"Decisions": decisions})
    return config


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside."""
    for source, page in OUTSIDE.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    return files


def on_page_markdown(markdown: str, *, page: Any, config: Any, files: Files) -> str:  # noqa: ARG001
    """The page with its links as they are in the site."""
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

    parts = FENCED.split(markdown)
    return "".join(part if FENCED.fullmatch(part) else LINK.sub(in_site, part) for part in parts)
