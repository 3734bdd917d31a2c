"""The command line of `secretops`. It parses arguments and prints results; the package `operations` does the work."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from typing import NoReturn

import typer

from secretops import printable, redaction, registry, signals
from secretops.cli import examining, importing, incident, report, serving, values
from secretops.cli.console import app, err, out, print_json
from secretops.errors import ExitCode, SecretopsError, UsageError, did_you_mean, unexpected
from secretops.printable import ClosedOutputError, OutputError

__all__ = ["app", "examining", "importing", "incident", "main", "report", "serving", "values"]

for _name, _group in registry.commands().items():
    app.add_typer(_group, name=_name)


def main() -> NoReturn:
    redaction.forbid_core_dumps()
    try:
        code = int(_run())
    except BaseException:  # cryptography's compiled code may turn a signal into a PanicException
        if not signals.arrived():
            raise
        code = ExitCode.INTERRUPTED
    code = signals.end(code)
    if code in (ExitCode.HUNG_UP, ExitCode.INTERRUPTED, ExitCode.TERMINATED):
        rest = "nothing was changed" if signals.unchanged() else "run it again"
        err.print(f"interrupted; {rest}")
    sys.exit(code)


def _run() -> int:
    printable.install()
    redaction.install()
    logging.getLogger("dotenv.main").setLevel(logging.ERROR)  # no warning about a malformed line in the operator's .env
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="%(levelname)s %(name)s: %(message)s")
    signals.begin()
    try:
        code = app(prog_name="secretops", standalone_mode=False) or ExitCode.DONE
        if not sys.stdout.closed:  # mcp closes it at the end of a stdio session
            sys.stdout.flush()
    except ClosedOutputError as error:
        return error.exit_code
    except SecretopsError as error:
        return _fail(error, error.exit_code)
    except typer.TyperException as error:
        return _fail(_usage(error), ExitCode.USAGE)
    except typer.Abort:
        return _fail(
            SecretopsError("interrupted at the prompt", remedy="run the command again", code="prompt-interrupted"),
            ExitCode.FAILED,
        )
    except Exception as error:
        return _fail(unexpected("secretops", error), ExitCode.FAILED)
    return code


def _fail(error: SecretopsError | None, code: int) -> int:
    if error is not None:
        err.print(redaction.redact(str(error)))
        if "--json" in sys.argv[1:] and not getattr(sys.stdout, "used", False):
            parts = {name: redaction.redact(getattr(error, name)) for name in ("code", "what", "rule", "remedy")}
            with contextlib.suppress(OutputError):
                print_json({"error": {**parts, "exit_code": int(code)}})
                sys.stdout.flush()
    return code


def _usage(error: typer.TyperException) -> SecretopsError | None:
    """Return the error for an invalid command line. If the command line is empty, print the help and return None."""
    message, rule = error.format_message(), ""
    if type(error).__name__ == "NoArgsIsHelpError":  # typer exports no other name for it
        out.print_document(message)
        return None
    if message.startswith("Got unexpected extra argument"):  # the argument is not repeated: it may be a secret value
        message = "unexpected argument"
        rule = (
            "a secret value must not be an argument: if this argument was a value, replace the value, because it is "
            "exposed"
        )
    names: list[str] = []
    context = getattr(error, "ctx", None)
    while context and context.parent:
        names.insert(0, str(context.info_name))
        context = context.parent
    misplaced = not names and hasattr(error, "option_name")
    where = "; options follow the command, except --stack, --manifest and --json" if misplaced else ""
    remedy = " ".join(("secretops", *names, "--help")) + where
    if message == "Missing argument 'name'.":
        remedy = f"to list the names: secretops status; for help: {remedy}"
    group, found = getattr(error, "ctx", None), re.search(r"^No such command '(.+)'", message)
    if group and found:
        remedy = did_you_mean(found[1], group.command.commands) + remedy
    return UsageError(message, rule=rule, remedy=remedy, code="usage-invalid")
