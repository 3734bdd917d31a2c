# The start of `make clean`: stop the stack's embedded broker, or without the stack that of the default folder.

from __future__ import annotations

import sys

from secretops.cli.console import err, out
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.operations import broker
from secretops.operations.stack import load_manifest
from tools.steps import ROOT


def main(stack: str) -> int:
    try:
        out.print(_stop(stack))
    except SecretopsError as error:
        err.print(str(error))
        return error.exit_code
    return ExitCode.DONE


def _stop(stack: str) -> str:
    try:
        return broker.stop(load_manifest(stack, None))
    except UsageError as error:  # the stack was removed, or never deployed
        return f"{broker.stop_default(ROOT)} (only the default folder was checked: {error.what})"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
