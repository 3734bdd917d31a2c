"""Generate docs/commands.md: every command of `secretops`, from typer's documentation."""

from __future__ import annotations

import html
import re
import subprocess
import sys

from secretops.cli.console import SCHEMA
from secretops.errors import ExitCode

HEAD = """# Commands

`secretops` uses the selected Pulumi stack. `--stack NAME` uses another one; `export` always needs it, because it does
not call Pulumi. Where Pulumi is not installed, `--manifest FILE` reads the stack's [manifest](glossary.md) from a file.
These two options and `--json` may also precede the command.

A secret value is never an argument: `secretops` prompts for it or reads standard input. `secretops --version` prints
the version, `secretops --install-completion` installs completion for bash, zsh, fish or PowerShell, and `-h` is short
for `--help`.

The [glossary](glossary.md) explains the terms of the help. [The runbooks](operations/README.md) say what to do when
something has happened. `make docs` generates this page from the help of each command.
"""

OUTPUT = """
`status` exits with 3 if a secret needs you, and with 0 also while a secret waits for its first value.

## Output

Text is folded at the width of the terminal, or at 80 columns if it goes into a file or to another program; the variable
`COLUMNS` sets another width. A command in a remedy stays on one line if it fits, so that you can copy it. A table that
is wider than the terminal has shorter times and ids (`…`) and fewer columns; `--json` has all. Only terminals get
colors, and only if `NO_COLOR` is not set. Control characters in names and texts that others chose, such as a user's
name or a line of a log, are escaped, for example as `\\u001b`.

With `--json`, a command prints one JSON object to standard output; `audit` prints one on each line. Its key `schema` is
{schema}; the number rises when a key is removed or changes its meaning. A command that fails before it has printed its
result prints an object with the key `error`, and the same error as text to standard error. A command that a signal ends
prints no such object:

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
    ExitCode.BUSY: "another command or a tick holds the lease, or has changed the secret in the meantime",
    ExitCode.WAITING: "an operator must supply a value first",
    ExitCode.HUNG_UP: "SIGHUP stopped the command: its terminal was closed",
    ExitCode.INTERRUPTED: "SIGINT stopped the command (Ctrl-C); run it again",
    ExitCode.CLOSED_OUTPUT: "the reader of standard output closed it, as `head` does",
    ExitCode.TERMINATED: "SIGTERM stopped the command; run it again",
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
