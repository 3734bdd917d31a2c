"""`make docs`: a site that loads nothing from other hosts."""

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from markdown import markdown  # type: ignore[import-untyped]
from markdown_it import MarkdownIt

from tools.site_pages import OUTSIDE, indent_lists, name_cells
from tools.steps import ROOT


@pytest.mark.real
def test_site_builds_without_warnings_and_loads_nothing_external(tmp_path: Path) -> None:
    """The build reports a broken link as a warning."""
    built = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--site-dir", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (built.returncode, built.stdout, built.stderr) == (0, "", "")
    pages = "".join(path.read_text() for path in tmp_path.rglob("*.html"))
    tags = re.findall(r"<(?:script|img|link|iframe|source)\b[^>]*>", pages)
    tags = [tag for tag in tags if not re.search(r'rel="?(canonical|prev|next|edit)', tag)]
    loaded = {found[1] for tag in tags if (found := re.search(r'(?:src|href)="?([^"\s>]+)', tag))}
    assert any(load.endswith(".svg") for load in loaded)
    assert {load for load in loaded if urlsplit(load).scheme or load.startswith("//")} == set()


def lists(html: str) -> list[tuple[str, str]]:
    """Return the tags of the lists and items of a page in order, with each list's first number."""
    return re.findall(r'<(/?[ou]l|li)\b(?: start="(\d+)")?', re.sub(r"<pre.*?</pre>", "", html, flags=re.DOTALL))


def test_lists_of_the_site_have_the_items_and_numbers_of_their_sources() -> None:
    """Python-Markdown, which makes the site, and CommonMark, which GitHub renders, agree on each page."""
    commonmark = MarkdownIt("commonmark").enable("table")
    numbered = 0
    for source in [*map(ROOT.joinpath, OUTSIDE), *ROOT.glob("docs/**/*.md")]:
        text = source.read_text()
        wanted = lists(commonmark.render(text))
        assert lists(markdown(indent_lists(text), extensions=["tables", "pymdownx.superfences"])) == wanted, source
        numbered += ("ol", "") in wanted
    assert numbered


def test_cells_of_a_table_have_the_names_of_their_columns_and_breaks_in_long_names() -> None:
    head = "<table>\n<thead>\n<tr>\n<th><code>a</code></th>\n<th></th>\n</tr>\n</thead>\n"
    table = f"{head}<tbody>\n<tr>\n<td>1</td>\n<td><code>b.c \\| d</code></td>\n</tr>\n</tbody>\n</table>"
    assert '<td data-column="a">1</td>\n<td data-column=""><code>b.<wbr>c | d</code></td>' in name_cells(table)
