"""The report as one page of HTML without scripts, fonts or requests. All texts are escaped."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from functools import partial
from importlib import resources
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from secretops.operations.report import Report
from secretops.printable import printable
from secretops.report.charts import charts

# Maximum rows of history and accesses on the page, and of a table that is expanded at first. The JSON has all rows.
MOST_ROWS, SHORT = 1_000, 12


def page(report: Report) -> str:
    folder = resources.files(__package__)
    style = folder.joinpath("page.css").read_text(encoding="utf-8")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, finalize=_shown
    )
    environment.filters["day"] = partial(_time, form="%Y-%m-%d")
    environment.filters["minute"] = partial(_time, form="%Y-%m-%d %H:%M")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return environment.from_string(
        folder.joinpath("page.html").read_text(encoding="utf-8")
    ).render(
        report=report,
        charts=charts(report),
        style=Markup(style),  # noqa: S704  # nosec B704 - our own file
        digest=digest,
        steps=report.steps[-MOST_ROWS:][::-1],
        rows=report.reads.view.rows[:MOST_ROWS] if report.reads.view else (),
        short=SHORT,
    )


def _shown(value: Any) -> Any:
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _time(time: datetime | None, form: str) -> Markup:
    if time is None:
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(f"{time:%Y-%m-%dT%H:%M:%SZ}", f"{time:{form}}")
