"""The `secretops` command. Parses and prints; what happens is in `operations`. One module a group of commands."""

from __future__ import annotations

import logging
import signal
import sys
import traceback

import typer

from secretops import redaction
from secretops.cli import examining, export, incident, purging, report, serving, trust, values, watching
from secretops.cli.console import app, err
from secretops.core_dumps import forbid_core_dumps
from secretops.errors import ExitCode, SecretopsError

INTERRUPTED = 130
"""What typer makes of a KeyboardInterrupt."""

__all__ = [
    "app",
    "examining",
    "export",
    "incident",
    "main",
    "purging",
    "report",
    "serving",
    "trust",
    "values",
    "watching",
]


def main() -> None:
    """Run the command line; end with a documented exit code and never with a traceback for a user's mistake."""
    forbid_core_dumps()
    redaction.install()
    # As PID 1 of a container it would be deaf without: the kernel gives that one no default.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # a person's own line that does not parse is theirs
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    try:
        code = app(standalone_mode=False)
    except SecretopsError as error:
        err.print(redaction.redact(str(error)), markup=False)
        code = error.exit_code
    except typer.TyperException as error:
        if said := _said(error):
            err.print(f"{said}\n-> {_remedy(error)}", markup=False)
        code = ExitCode.USAGE
    except (typer.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Exception:
        err.print(redaction.redact(traceback.format_exc()), markup=False)
        code = ExitCode.FAILED
    if code == INTERRUPTED:
        err.print("stopped; what was begun is finished by the next tick")
        code = ExitCode.FAILED
    sys.exit(int(code or 0))


def _said(error: typer.TyperException) -> str:
    """What is wrong; nothing where it has shown its help."""
    said = error.format_message()
    if said.startswith("Got unexpected extra argument"):  # not repeated: it may be a value
        return (
            "an argument too many\na value is never an argument: if it was one, it is known now, and has to be replaced"
        )
    return said


def _remedy(error: typer.TyperException) -> str:
    """The help of the command that was meant, as far as that is known."""
    names: list[str] = []
    context = getattr(error, "ctx", None)
    while context and context.parent:
        names.insert(0, str(context.info_name))
        context = context.parent
    misplaced = not names and hasattr(error, "option_name")
    return " ".join(("secretops", *names, "--help")) + ("; an option comes after its command" if misplaced else "")
