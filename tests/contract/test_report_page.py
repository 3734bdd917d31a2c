"""The report's page in a real browser: desktop, phone and paper, light and dark, keyboard, and axe-core for screen
readers. The stack was rotated over a real broker."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Request, sync_playwright

from secretops.report import page as page_of
from tests.unit.report_data import made
from tools import axe
from tools.parts import found

pytestmark = [pytest.mark.real, pytest.mark.slow]

DEADLINE = 300_000.0  # Timeout of each browser action in milliseconds.
SIZES = {"phone": (390, 844), "small phone": (320, 568), "desktop": (1280, 900)}
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Yield Debian's Chromium. For root it runs without a sandbox, but it opens only our file."""
    program = found("chromium")
    if program is None or not axe.FILE.is_at(axe.script()):
        pytest.skip("no Chromium, or no axe-core: make test-slow brings them")
    with sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=program, args=["--no-sandbox"], timeout=DEADLINE)
        yield started
        started.close()


@dataclass(kw_only=True)
class Opened:
    page: Page
    output: list[str]
    requested: list[str]

    def run(self, script: str) -> Any:
        return self.page.evaluate(script)


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page_of(made(secrets=27, readers=8, rotations=2)))
    return path


def shown(browser: Browser, path: Path, size: str = "desktop", scheme: Scheme = "light") -> Opened:
    width, height = SIZES[size]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)
    context.set_default_timeout(DEADLINE)
    page = context.new_page()
    opened = Opened(page=page, output=[], requested=[])

    def say(message: ConsoleMessage) -> None:
        opened.output.append(message.text)

    def ask(request: Request) -> None:
        opened.requested.append(request.url)

    page.on("console", say)
    page.on("pageerror", lambda error: opened.output.append(str(error)))
    page.on("request", ask)
    page.goto(path.as_uri())
    return opened


def violations(opened: Opened) -> list[str]:
    """Return axe-core's findings as "rule: element". The page's content policy allows only a debugger's scripts."""
    opened.run(axe.script().read_text() + "; undefined")
    options = json.dumps({"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations", "passes"]})
    result = opened.run(f"axe.run(document, {options})")
    assert len(result["passes"]) > 20, "axe-core looked at nothing"
    return [f"{each['id']}: {node['html'][:200]}" for each in result["violations"] for node in each["nodes"]]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_page_loads_nothing_and_is_accessible(browser: Browser, everything: Path, size: str, scheme: Scheme) -> None:
    opened = shown(browser, everything, size, scheme)
    assert opened.page.screenshot(full_page=True)[:4] == b"\x89PNG"
    assert opened.run("document.documentElement.scrollWidth") <= SIZES[size][0]
    opened.run("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert opened.run("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert violations(opened) == []
    assert opened.output == []
    assert opened.requested == [everything.as_uri()]
