"""`make docs`: the pages as a site that asks nobody else for anything, and whose links all lead somewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import unquote, urlsplit

import pytest
from markdown_it import MarkdownIt
from mkdocs.structure.files import Files

from tools.site_pages import OUTSIDE, indent_lists, name_cells, on_page_markdown

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


@pytest.mark.parametrize(
    ("text", "becomes"),
    [
        ("a [table](../../tests/gates/table.py)", "a table (`tests/gates/table.py`)"),
        ("[tests/gates](../../tests/gates)", "tests/gates"),
        ("[`tests/gates`](../../tests/gates)", "`tests/gates`"),
        ("```sh\necho [a](b.txt)\n```\n[a](b.txt)", "```sh\necho [a](b.txt)\n```\na (`docs/operations/b.txt`)"),
    ],
)
def test_a_link_to_a_file_that_is_no_page_becomes_its_name_and_code_stays_as_it_is(text: str, becomes: str) -> None:
    page = SimpleNamespace(file=SimpleNamespace(src_uri="operations/aws.md"))
    assert on_page_markdown(text, page=page, config=None, files=Files([])) == becomes


class Lists(HTMLParser):
    """The lists of a page's article in their order: the number of the first item, or None, and how many items."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[int | None, int]] = []
        self._open: list[int] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("ol", "ul"):
            self._open.append(len(self.found))
            self.found.append((int(dict(attrs).get("start") or 1) if tag == "ol" else None, 0))
        elif tag == "li":
            first, items = self.found[self._open[-1]]
            self.found[self._open[-1]] = first, items + 1

    def handle_endtag(self, tag: str) -> None:
        if tag in ("ol", "ul"):
            self._open.pop()


def as_commonmark(text: str) -> str:
    html: str = MarkdownIt("commonmark").enable("table").render(text)
    return html


def test_lists_of_the_site_have_the_items_and_numbers_of_their_sources(site: Path) -> None:
    sources = {ROOT / source: page for source, page in OUTSIDE.items()}
    sources |= {path: path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    wrong = {}
    for source, page in sources.items():
        html = (site / page.replace("README.md", "index.md")).with_suffix(".html").read_text()
        article = html.partition("<article")[2].partition("</article>")[0]
        wanted, has = Lists(as_commonmark(source.read_text())).found, Lists(article).found
        if wanted != has:
            wrong[str(source.relative_to(ROOT))] = (wanted, has)

    assert wrong == {}


def test_content_of_a_list_item_is_indented_by_four_columns_a_level() -> None:
    text = "1. a\n   b\n\n   ```sh\n   if x; then\n     - y\n   fi\n   ```\n\n2. c\n   - d\n     e\n\nf\n"
    assert indent_lists(text) == (
        "1. a\n    b\n\n    ```sh\n    if x; then\n      - y\n    fi\n    ```\n\n2. c\n    - d\n        e\n\nf\n"
    )


def test_an_item_after_a_paragraph_has_an_empty_line_before_it() -> None:
    assert indent_lists("a:\n- b\n- c\n\n  d\n- e\n") == "a:\n\n- b\n- c\n\n    d\n\n- e\n"


def test_cells_of_a_table_have_the_names_of_their_columns() -> None:
    head = "<table>\n<thead>\n<tr>\n<th><code>a</code></th>\n<th></th>\n</tr>\n</thead>\n"
    table = f"{head}<tbody>\n<tr>\n<td>1</td>\n<td><code>b \\| c</code></td>\n</tr>\n</tbody>\n</table>"
    assert '<td data-column="a">1</td>\n<td data-column=""><code>b | c</code></td>' in name_cells(table)
