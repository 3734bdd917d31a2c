"""The end of `make up` on dev: start the broker, rotate due secrets, show the status.

`.venv/bin/python -m tools.after_up STACK` runs each command in a fork of one process, which imports the modules and
fetches the manifest only once. Exit code: that of the first failed command; 3 (action needed) is not a failure.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

# As in `secretops`: searching for plugins would read the metadata of every installed package.
os.environ["PYDANTIC_DISABLE_PLUGINS"] = "__all__"

from secretops import cli  # noqa: F401
from secretops.errors import ExitCode
from secretops.operations import broker, status, tick  # noqa: F401
from secretops.operations.stack import OUTPUT

COMMANDS = (("broker", "start"), ("tick",), ("status",))


def main(stack: str) -> int:
    pulumi = str(Path(sys.executable).with_name("pulumi"))
    with tempfile.NamedTemporaryFile(prefix="manifest-", suffix=".json") as manifest:
        command = [pulumi, "stack", "output", OUTPUT, "--json", "--stack", stack]
        if failed := subprocess.run(command, stdout=manifest, check=False).returncode:
            return failed
        for words in COMMANDS:
            if (code := _run([*words, "--manifest", manifest.name])) not in (ExitCode.DONE, ExitCode.ATTENTION):
                return code
    return ExitCode.DONE


def _run(words: list[str]) -> int:
    child = os.fork()
    if not child:
        sys.argv = ["secretops", *words]
        code = 1
        try:
            # The command handles signals from here on.
            from secretops.__main__ import main as secretops

            secretops()
        except SystemExit as ended:
            code = int(ended.code or 0)
            sys.stdout.flush()
        finally:
            os._exit(code)  # exits without the parent's clean-up
    # A terminal sends Ctrl-C to both processes; make sends SIGTERM to this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda number, _frame: os.kill(child, number))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
