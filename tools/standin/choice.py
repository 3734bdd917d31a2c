"""Choose Pulumi's provider or the stand-in for a cloud's stack, and install the stand-in.

This uses only the standard library, because set-up imports it before anything is installed.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

VARIABLE = "STANDIN"
# Values of VARIABLE. If it is not set: Pulumi's provider if there are credentials, otherwise the stand-in, for
# previews.
MODES = {
    "preview": "the stand-in, even with credentials; it previews changes and applies none",
    "up": "the stand-in, for tests; it also records changes in Pulumi's state",
    "never": "Pulumi's own provider, even without credentials",
}

_SHIM = """#!/bin/sh
# A stand-in for Pulumi's {package} provider (tools/standin): it reaches no account. Written by `make setup`.
cd {clone} && exec {python} -m tools.standin {package} {version} "$@"
"""


class UnknownModeError(Exception): ...


def mode(environment: Mapping[str, str] = os.environ) -> str:
    """Return the value of the environment variable STANDIN, or "". Raises UnknownModeError."""
    chosen = environment.get(VARIABLE, "")
    if chosen and chosen not in MODES:
        meanings = "; ".join(f"{name}: {meaning}" for name, meaning in MODES.items())
        rule = f"the variable must be one of {', '.join(MODES)}, or unset"
        raise UnknownModeError(f"{VARIABLE}={chosen}: {rule} ({meanings})")
    return chosen


@dataclass(frozen=True, kw_only=True)
class Choice:
    standin: bool
    reason: str

    @property
    def may_deploy(self) -> bool:
        """Return whether `make up` is allowed. With the stand-in, this requires STANDIN=up."""
        return not self.standin or mode() == "up"


def choose(credentials: str) -> Choice:
    """Choose by STANDIN, or else by the source of the credentials, "" if there are none. Raises UnknownModeError."""
    match mode():
        case "never":
            return Choice(standin=False, reason=f"{VARIABLE}=never")
        case "preview" | "up" as chosen:
            return Choice(standin=True, reason=f"{VARIABLE}={chosen}")
    if credentials:
        return Choice(standin=False, reason=f"credentials from {credentials}")
    return Choice(standin=True, reason="no credentials found")


def write_shim(folder: Path, package: str, version: str, *, clone: Path, python: Path) -> Path:
    """Write the stand-in's program into `folder`, as the provider of `package` for processes with `folder` on PATH.

    Pulumi prefers PATH to installed plugins, and prints a warning at each run. The user's plugins don't change.
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
    (folder / f"pulumi-resource-{package}").unlink(missing_ok=True)
