"""Generate docs/commands.md: every command of `secretops`, from typer's documentation."""

from __future__ import annotations

import html
import re
import subprocess
import sys

from secretops.cli.console import SCHEMA
from secretops.errors import ExitCode

HEAD = """# Commands

`secretops` uses the selected Pulumi stack. `--stack NAME` selects another one (`export` needs it, because it runs
without Pulumi), and `--manifest FILE` replaces Pulumi where there is none. These two and `--json` may also precede the
command. A value is never an argument: `secretops` prompts for it or reads standard input. Without a command
`--version` prints the version, and `--install-completion` installs completion for bash, zsh, fish or PowerShell; `-h`
is short for `--help`. For what to do when something has happened, see [the runbooks](operations/README.md).
`make docs` generates this page from the help of each command.
"""

OUTPUT = """
## Output

Text is folded at the width of the terminal, or at 80 columns where it goes into a file or another program; `COLUMNS`
sets another width. A command in a remedy stays on one line, so that you can copy it. Colors are for terminals only, and
not where `NO_COLOR` is set. Names and texts that others chose (a user's name, a line of a log) are printed without
control characters: they appear as `\\u001b`.

With `--json` standard output is one JSON object (`audit`: one a line). Its key `schema` is {schema}; the number rises
when a key is removed or changes its meaning. A command that fails before it has printed its result prints an `error`
there, unless a signal ends it, and the same as text on standard error:

```json
{{
  "schema": {schema},
  "error": {{
    "code": "secret-unknown",
    "what": "nothing: no such secret in stack dev",
    "rule": "",
    "remedy": "one of broker-admin, mqtt, agent-key",
    "exit_code": 2
  }}
}}
```
"""

EXIT_CODES = {
    ExitCode.DONE: "done",
    ExitCode.FAILED: "failed; nothing was lost",
    ExitCode.USAGE: "the command line or the configuration is wrong",
    ExitCode.ATTENTION: "succeeded; action needed",
    ExitCode.BUSY: "another rotation holds the lease, or was first",
    ExitCode.WAITING: "a value has to be supplied first",
    ExitCode.HUNG_UP: "SIGHUP stopped it: its terminal was closed",
    ExitCode.INTERRUPTED: "SIGINT stopped it (Ctrl-C); the next tick finishes what was begun",
    ExitCode.CLOSED_OUTPUT: "the reader of standard output closed it, as `head` does",
    ExitCode.TERMINATED: "SIGTERM stopped it; the next tick finishes what was begun",
}


def render() -> str:
    command = [sys.executable, "-m", "typer", "secretops.cli", "utils", "docs", "--name", "secretops"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    _, _, commands = html.unescape(printed).partition("**Commands**:\n")
    # typer truncates long help texts in its lists of commands. The table takes them from the commands' sections.
    listed = re.sub(r"^\* `(\w+)`: .*\.\.\.$", r"* `\1`", commands, flags=re.MULTILINE)
    whole = re.sub(r"<((?:list\[)?\w+\]?)>", r"\1", listed).replace("```console\n$ ", "```text\n")
    first, second, rest = whole.partition("\n## ")
    names = re.findall(r"^\* `(\w+)`", first, flags=re.MULTILINE)
    sections = f"{second}{rest.rstrip()}\n"
    table = "".join(f"| [`{name}`](#secretops-{name}) | {_summary(name, sections)} |\n" for name in names)
    codes = "".join(f"| {code.value} | {meaning} |\n" for code, meaning in EXIT_CODES.items())
    return (
        f"{HEAD}\n| command | does |\n|---|---|\n{table}\n"
        f"## Exit codes\n\n| code | meaning |\n|---|---|\n{codes}{OUTPUT.format(schema=SCHEMA)}{sections}"
    )


def _summary(name: str, sections: str) -> str:
    _, _, after = sections.partition(f"## `secretops {name}`\n\n")
    return " ".join(after.partition("\n\n")[0].split())
