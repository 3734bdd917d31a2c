"""`make live STACK=…` runs `python -m tools.live STACK`. docs/operations/live.md describes its variables.

Exit codes: 0 no check failed; 1 a check failed, something was not removed, or the run was cut short; 2 wrong arguments,
and nothing was deployed; 4 another run is active; 130, 143 interrupted, and the report lists what was not removed.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from components.settings.settings import ConfigurationError
from secretops.errors import ExitCode, SecretopsError, UsageError
from secretops.values import Value
from tools.clone import CLOUDS
from tools.live import report
from tools.live.run import Live, Options
from tools.live.runner import Runner
from tools.live.state import State, run_lock
from tools.live.throwaway import Throwaway
from tools.standin import choice
from tools.steps import say


def main(stack: str) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(ExitCode.TERMINATED))
    copy = Throwaway(stack, Path.cwd())
    try:
        options = Options(
            standin=choice.mode() == "up" and any(f"store: {kind}" in copy.kinds for kind in CLOUDS),
            supplied=_supplied("" if sys.stdin.isatty() else sys.stdin.read()),
            accepted=tuple(os.environ.get("ACCEPT", "").split(",")),
            trail=os.environ.get("TRAIL", ""),
            wait=60 * _minutes(os.environ.get("WAIT") or "90"),
            confirm=_print if os.environ.get("YES") else _confirm,
        )
        with run_lock(copy.folder) as lock:
            runner = Runner(copy.project, copy.folder / "log.txt", lock)
            return execute(Live(copy, runner, options), clean=bool(os.environ.get("CLEAN")))
    except (SecretopsError, ConfigurationError, choice.UnknownModeError) as error:
        print(error, file=sys.stderr)
        return error.exit_code if isinstance(error, SecretopsError) else ExitCode.USAGE


def execute(live: Live, *, clean: bool = False) -> int:
    """Continue an unfinished run, or begin a run. If `clean` is set, only remove what a run has created. Return the
    exit code."""
    again = False
    if live.path.exists():
        live.state = State.model_validate_json(live.path.read_bytes())
        live.refuse_other_mode()
        again = live.state.cleaning
        live.state.cleaning |= clean
        say(f"continuing the run of {live.state.began}{': cleaning up' if live.state.cleaning else ''}")
    elif clean:
        say("nothing to clean up")
        return ExitCode.DONE
    else:
        live.refuse_name_in_use()
        live.state.standin = live.options.standin
    code = 0
    refused: UsageError | ConfigurationError | None = None
    try:
        live.prove()
    except KeyboardInterrupt:
        code = ExitCode.INTERRUPTED
    except SystemExit:
        code = ExitCode.TERMINATED
    except (UsageError, ConfigurationError) as error:
        refused = error
    if not live.state.finished:
        live.leave(f"{live.copy.name}, whose removal was interrupted", live.clean_command)
    if live.is_void and not again:  # `again`: the clean-up before this one may have reported leftovers
        say("no report: nothing was deployed")
    else:
        report.write(live)
    live.forget()
    if refused:
        raise refused
    return code or _result(live, clean=clean)


def _result(live: Live, *, clean: bool) -> int:
    if live.has_failed:
        return ExitCode.FAILED
    if not (clean or live.is_complete):
        say("the run was cut short: run make live again to prove the stack")
        return ExitCode.FAILED
    return ExitCode.DONE


def _supplied(text: str) -> dict[str, Value]:
    # Maps each secret to its fields. The error does not repeat the input.
    try:
        found = TypeAdapter(dict[str, dict[str, str]]).validate_json(text if text.strip() else "{}")
    except ValidationError:
        what, rule = (
            "standard input: not the expected JSON",
            "standard input must be a JSON object: secret -> field -> text",
        )
        remedy = 'for example {"agent-key": {"api-key": "…"}}'
        raise UsageError(what, rule=rule, remedy=remedy, code="live-input-invalid") from None
    return {name: Value(fields) for name, fields in found.items()}


def _minutes(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        rule = "WAIT must be a number of minutes"
        raise UsageError(f"WAIT={text}", rule=rule, remedy="for example WAIT=120", code="live-wait-invalid") from None


def _print(cost: str, name: str) -> None:
    say(f"{cost}\n{name} is created with your credentials, and removed at the end.")


def _confirm(cost: str, name: str) -> None:
    # At the terminal, even if values come from standard input.
    _print(cost, name)
    typed = ""
    try:
        with Path("/dev/tty").open("r+b", buffering=0) as terminal:
            terminal.write(f"Type {name} to go on: ".encode())
            typed = terminal.readline().decode().strip()
    except OSError:
        pass  # no terminal
    if typed != name:
        rule, remedy = "a deployment must be confirmed", f"type {name}, or set YES=1"
        raise UsageError("not confirmed; nothing was deployed", rule=rule, remedy=remedy, code="confirmation-missing")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
