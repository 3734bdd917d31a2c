"""Where a value comes from, and the records of who reads one. No daemon returns a value: a task reads those mounted in
it, and the process that made one remembers it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from secretops.access import Operation, record_line
from secretops.errors import ExitCode, StoreError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.task import SECRETS, is_task


class Values(Protocol):
    """The texts of Swarm secrets by their names. A secret can't change, so that a name always has the same text."""

    def text(self, name: str) -> str | None:
        """Return the text of the secret `name`; None if there is none. Raises StoreError if none can be read here."""

    def keep(self, name: str, text: str) -> None:
        """Remember what was just written: no task has it mounted yet."""


class MadeSinceError(StoreError):
    """The value is younger than the task: another rotation came first."""

    exit_code = ExitCode.BUSY


def _is_in_the_swarm(name: str) -> bool:
    return SwarmApi().get(f"/secrets/{name}") is not None


class Mounted:
    """Values of the task that this process runs in: those kept when it was started, and those it made."""

    def __init__(self, folder: Path = SECRETS, *, exists: Callable[[str], bool] = _is_in_the_swarm) -> None:
        self._folder, self._exists = folder, exists
        self._made: dict[str, str] = {}

    def text(self, name: str) -> str | None:
        if name in self._made:
            return self._made[name]
        try:
            return (self._folder / name).read_bytes().decode()
        except FileNotFoundError:
            if not self._exists(name):
                return None
            raise MadeSinceError(
                f"{name} was made after this task was started",
                rule="a task can read what was kept then; another rotation came first",
                remedy="try again: nothing is lost, and what was begun is finished by the next tick",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            raise StoreError(
                f"{self._folder / name}: {getattr(error, 'strerror', None) or 'not UTF-8'}",
                rule="a remote command reads the values that its task has as files",
                remedy="secretops doctor; a value that somebody made by hand is replaced with secretops put",
            ) from None

    def keep(self, name: str, text: str) -> None:
        self._made[name] = text


class Elsewhere:
    """This process is in no task of the Swarm, and has no value."""

    def text(self, name: str) -> str | None:
        raise self._error(f"{name}: its value can't be read here")

    def keep(self, name: str, text: str) -> None:  # noqa: ARG002
        raise self._error(f"{name}: no value is made here")

    def _error(self, what: str) -> StoreError:
        return StoreError(
            what,
            rule="a Swarm gives a secret's value only to a task that has it, where it is made and proven",
            remedy="secretops tick, rotate and put run as such a task",
        )


def found_here() -> Values:
    return Mounted() if is_task() else Elsewhere()


class LogRecords:
    """`Records` as lines of JSON on standard error: a Swarm has no trail of reads. Those of a task are passed on.

    `reads`: whether a value can be read here. If not, an attempt is no access.
    """

    def __init__(self, actor: str, *, reads: bool) -> None:
        self._actor, self._reads = actor, reads

    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None:
        if operation == "read" and not self._reads:
            return
        try:
            print(record_line(self._actor, operation, secret, version, purpose), file=sys.stderr, flush=True)  # noqa: T201
        except OSError as error:
            raise StoreError(
                f"standard error: {error.strerror}",
                rule="every access to a secret is recorded before it happens; this one could not be",
                remedy="try again; nothing was changed",
            ) from error
