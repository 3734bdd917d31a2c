"""The report of a run, as JSON and as a page. It contains no value and no account number."""

from __future__ import annotations

import json
import platform
from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

from tools.live.checks import all_checks
from tools.live.run import Live
from tools.live.state import anonymous
from tools.steps import say, write_whole

COLUMNS = ("check", "result", "proves", "detail", "at", "seconds")

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><title>{title}</title>
<style>body {{ font: 15px/1.5 sans-serif; max-width: 70em; margin: 2em auto; padding: 0 1em }}
table {{ border-collapse: collapse }} td, th {{ border: 1px solid #999; padding: .2em .6em; text-align: left }}
.fail {{ background: #fbb }} .pass {{ background: #cfc }}</style>
<h1>{title}</h1><p>{summary}</p>
<table><tr><th>{heads}</tr>
{rows}
</table><h2>Left</h2><ul>{leftovers}</ul></html>
"""


def write(live: Live) -> None:
    """Write report.json and report.html into the run's folder, and print the summary."""
    state, folder = live.state, live.copy.folder
    names = {**dict.fromkeys(state.outcomes, "no unexpected failure"), **all_checks(live.copy.kinds)}
    found = {name: state.outcomes[name].model_dump(mode="json") for name in names if name in state.outcomes}
    summary = dict(Counter(str(one["result"]) for one in found.values()))
    made: dict[str, Any] = {
        "schema": 1,
        "stack": live.copy.original,
        "kinds": list(live.copy.kinds),
        "standin": live.options.standin,
        "system": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "began": state.began,
        "summary": summary,
        "checks": [{"check": name, "proves": names[name], **one} for name, one in found.items()],
        "leftovers": [{"what": anonymous(one.what), "command": anonymous(one.command)} for one in state.leftovers],
    }
    write_whole(folder / "report.json", json.dumps(made, indent=2) + "\n")
    write_whole(folder / "report.html", page(made))
    for one in state.leftovers:
        say(f"left: {one.what}\n  -> {one.command}")
    say(f"{_counts(made)}\nreport: {(folder / 'report.html').relative_to(live.copy.project)}")


def page(made: Mapping[str, Any]) -> str:
    on = " on a STAND-IN, which proves nothing about the platform" if made["standin"] else ""
    rows = (
        f'<tr class="{escape(one["result"])}">' + "".join(f"<td>{escape(str(one[each]))}</td>" for each in COLUMNS)
        for one in made["checks"]
    )
    leftovers = (f"<li>{escape(one['what'])}: <code>{escape(one['command'])}</code>" for one in made["leftovers"])
    return _PAGE.format(
        title=escape(f"make live STACK={made['stack']}{on}"),
        summary=escape(f"{', '.join(made['kinds'])}; began {made['began']}; {made['system']}; {_counts(made)}"),
        heads="<th>".join(COLUMNS),
        rows="\n".join(rows),
        leftovers="".join(leftovers) or "<li>nothing",
    )


def _counts(made: Mapping[str, Any]) -> str:
    return ", ".join(f"{count} {result}" for result, count in made["summary"].items())
