"""`make docs`: the pages as a site that loads nothing from elsewhere."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tools.steps import ROOT


@pytest.mark.real
def test_the_site_is_built_without_a_warning_and_a_browser_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    """A link that leads nowhere is a warning."""
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
