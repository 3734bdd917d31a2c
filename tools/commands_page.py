"""docs/commands.md: every command of `secretops`, its arguments and options, as typer itself tells them."""

from __future__ import annotations

import html
import re
import subprocess
import sys

HEAD = """# Commands

What the help of each command says (`make docs` writes this page). Values are never an argument:
they are prompted for, or read from standard input. [The exit codes](../README.md#secretops) are few, and what to do
when something has happened is in [the runbooks](operations/README.md).
"""


def render() -> str:
    """The page."""
    asked = [sys.executable, "-m", "typer", "secretops.cli", "utils", "docs", "--name", "secretops"]
    told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
    _, _, commands = html.unescape(told).partition("**Commands**:\n")
    # Its lists cut a command's first words; the section below has them whole.
    listed = re.sub(r"^\* `(\w+)`: .*\.\.\.$", r"* `\1`", commands, flags=re.MULTILINE)
    whole = re.sub(r"<((?:list\[)?\w+\]?)>", r"\1", listed).replace("```console\n$ ", "```text\n")
    first, second, rest = whole.partition("\n## ")
    names = re.findall(r"^\* `(\w+)`", first, flags=re.MULTILINE)
    links = ", ".join(f"[`{name}`](#secretops-{name})" for name in names)
    return f"{HEAD}\n{links}.\n{second}{rest.rstrip()}\n"
