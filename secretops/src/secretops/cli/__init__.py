"""The `secretops` command. Parses and prints; what happens is in `operations`. One module a group of commands."""

from __future__ import annotations

import logging
import sys
import traceback

import typer

from secretops import redaction
from secretops.cli import serving, values, watching
from secretops.cli.console import app, err
from secretops.errors import ExitCode, SecretopsError

__all__ = ["app", "main", "serving", "values", "watching"]


def main() -> None:
    """Run the command line; end with a documented exit code and never with a traceback for a user's mistake."""
    redaction.install()
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # a person's own line that does not parse is theirs
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        code = app(standalone_mode=False)
    except SecretopsError as error:
        err.print(redaction.redact(str(error)), markup=False)
        code = error.exit_code
    except typer.TyperException as error:
        err.print(f"{error.format_message()}\n-> secretops --help", markup=False)
        code = ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        err.print("stopped; what was begun is finished by the next tick")
        code = ExitCode.FAILED
    except Exception:
        err.print(redaction.redact(traceback.format_exc()), markup=False)
        code = ExitCode.FAILED
    sys.exit(int(code or 0))
