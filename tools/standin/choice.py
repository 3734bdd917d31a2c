"""Which provider a stack of a cloud runs on, Pulumi's own or the stand-in, and how the stand-in gets into its way.

Needs nothing but Python's standard library: set-up reads it before there is anything else.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "STANDIN"
MODES = {
    "preview": "the stand-in, credentials or not; it shows what would change and changes nothing",
    "up": "the stand-in, and it may change its state: for tests",
    "never": "Pulumi's own provider, credentials or not",
}
"""What the variable may say. Unset: Pulumi's own provider with credentials, else the stand-in for previews."""

_SHIM = """#!/bin/sh
# A stand-in for Pulumi's {package} provider (tools/standin): it reaches no account. Laid by `make setup`.
cd {clone} && exec {python} -m tools.standin {package} {version} "$@"
"""


class UnknownModeError(Exception):
    """The variable says what nobody knows."""


def mode(environment: Mapping[str, str] = os.environ) -> str:
    """What the variable says, or nothing. Raises UnknownModeError."""
    chosen = environment.get(VARIABLE, "")
    if chosen and chosen not in MODES:
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in MODES.items())
        raise UnknownModeError(f"{VARIABLE}={chosen}: it is one of {', '.join(MODES)} or unset ({meanings})")
    return chosen


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The stand-in, or Pulumi's own provider, and why."""

    standin: bool
    reason: str

    @property
    def may_deploy(self) -> bool:
        """Whether `make up` may go on. On the stand-in only where the variable says so, lest it be taken for real."""
        return not self.standin or mode() == "up"


def choose(credentials: str) -> Choice:
    """By the variable, else by whether there are `credentials` (where from, or nothing). Raises UnknownModeError."""
    match mode():
        case "never":
            return Choice(standin=False, reason=f"{VARIABLE}=never")
        case "preview" | "up" as chosen:
            return Choice(standin=True, reason=f"{VARIABLE}={chosen}")
    if credentials:
        return Choice(standin=False, reason=f"credentials from {credentials}")
    return Choice(standin=True, reason="no credentials found")


def lay(folder: Path, package: str, version: str, *, clone: Path, python: Path) -> Path:
    """Make the stand-in the provider of `package` for whoever has `folder` on PATH.

    On PATH, which Pulumi looks at before its installed plugins and warns of at each run: nothing is installed, so
    nothing has to be removed from a user's plugins when there are credentials one day.
    """
    plugin = folder / f"pulumi-resource-{package}"
    folder.mkdir(parents=True, exist_ok=True)
    quoted = {"clone": shlex.quote(str(clone)), "python": shlex.quote(str(python))}
    part = plugin.with_name(f".{plugin.name}.{os.getpid()}")
    part.write_text(_SHIM.format(package=package, version=version, **quoted))
    part.chmod(0o755)
    part.replace(plugin)
    return plugin


def remove(folder: Path, package: str) -> None:
    """Take it out of the way again."""
    (folder / f"pulumi-resource-{package}").unlink(missing_ok=True)
