"""`make docs`: the pages as a site that asks nobody else for anything, and whose links all lead somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from tools.site_pages import OUTSIDE

ROOT = Path(__file__).resolve().parents[2]
LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
"""Elements that a browser loads something for, and by which attribute."""

LEADS_NOWHERE = {"canonical", "prev", "next", "edit"}
"""Relations of a <link> that nothing is loaded for."""


class Page(HTMLParser):
    """What one page has: its anchors, what it links to, what it loads."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.anchors |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        if (attribute := LOADED.get(tag)) in given and given.get("rel") not in LEADS_NOWHERE:
            self.loads.append(given[str(attribute)])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it; a warning is an error there."""
    folder = tmp_path_factory.mktemp("site")
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    return folder


def pages(site: Path) -> Iterator[Path]:
    return (path for path in site.rglob("*.html") if path.name != "404.html")


def test_every_page_of_the_repository_is_a_page_of_the_site(site: Path) -> None:
    written = {
        path.relative_to(ROOT / "docs").with_suffix(".html").as_posix() for path in (ROOT / "docs").rglob("*.md")
    }
    expected = {name.replace("README.html", "index.html") for name in written} | {
        Path(page).with_suffix(".html").name for page in OUTSIDE.values()
    }

    assert {path.relative_to(site).as_posix() for path in pages(site)} == expected


def test_every_link_and_anchor_of_the_site_leads_somewhere(site: Path) -> None:
    known = {path: Page(path) for path in pages(site)}
    dead = []
    for path, page in known.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            fits = target in known and (not parts.fragment or unquote(parts.fragment) in known[target].anchors)
            if not fits and not (target.exists() and target not in known):
                dead.append(f"{path.relative_to(site)}: {link}")

    assert dead == []
    assert sum(len(page.links) for page in known.values()) > 1000


def test_a_browser_loads_nothing_from_elsewhere(site: Path) -> None:
    loaded = {load for path in pages(site) for load in Page(path).loads}

    assert any(load.endswith(".svg") for load in loaded)
    assert {load for load in loaded if urlsplit(load).scheme or load.startswith("//")} == set()
