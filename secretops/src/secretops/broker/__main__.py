"""The broker's process, as `start` runs it. No argument of it is a secret."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from secretops.broker.process import serve
from secretops.errors import SecretopsError
from secretops.redaction import forbid_core_dumps


def main() -> int:
    forbid_core_dumps()
    parser = argparse.ArgumentParser(prog="secretops.broker")
    parser.add_argument("home", type=Path)
    parser.add_argument("host")
    parser.add_argument("port", type=int)
    parser.add_argument("--ready", type=int)
    arguments = parser.parse_args()
    try:
        serve(arguments.home, arguments.host, arguments.port, ready=arguments.ready)
    except SecretopsError as error:
        sys.stderr.write(" ".join(str(error).splitlines()) + "\n")  # one line: `start` shows the log's last
        return error.exit_code
    return 0


sys.exit(main())
