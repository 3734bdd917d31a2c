from __future__ import annotations

import sys
from typing import Protocol

from secretops.access import Operation, record_line
from secretops.errors import BusyError, StoreError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.task import SECRETS, is_task


class Values(Protocol):
    """The texts of Swarm secrets. They never change."""

    def text(self, name: str) -> str | None:
        """Return a secret's text; None if the Swarm has no such secret. Raises StoreError if this process cannot read
        it."""

    def keep(self, name: str, text: str) -> None:
        """Remember the text of a new secret, which no task mounts yet."""


class MadeSinceError(BusyError, StoreError):
    """Another rotation created the secret after this task had started."""


class TaskValues:
    """The values of Swarm secrets that this process's task mounts, or that it created."""

    def __init__(self) -> None:
        self.readable = is_task()
        self._made: dict[str, str] = {}

    def text(self, name: str) -> str | None:
        self._check(name)
        if name in self._made:
            return self._made[name]
        try:
            return (SECRETS / name).read_bytes().decode()
        except FileNotFoundError:
            if SwarmApi().get(f"/secrets/{name}") is None:
                return None
            raise MadeSinceError(
                f"Docker secret {name} is newer than this task",
                rule="a task can only read Docker secrets that are older than the task; another rotation created this "
                "one",
                remedy="try again; the next tick finishes the rotation",
                code="value-newer-than-task",
            ) from None
        except (OSError, UnicodeDecodeError) as error:
            path, why = SECRETS / name, getattr(error, "strerror", None) or "not UTF-8"
            raise StoreError(
                f"{path}: {why}",
                rule="a task must be able to read the secret values that it mounts, as UTF-8 text",
                remedy="for a new version: secretops rotate SECRET --now, or secretops put SECRET",
                code="mounted-value-unreadable",
            ) from None

    def keep(self, name: str, text: str) -> None:
        self._check(name)
        self._made[name] = text

    def _check(self, name: str) -> None:
        if not self.readable:
            raise StoreError(
                f"the secret value of {name} can't be read or created on this machine",
                rule="the command must run in a task: a Swarm mounts secrets nowhere else",
                remedy="run secretops tick, rotate or put, which start a task",
                code="value-not-readable-here",
            )


class LogRecords:
    """Writes access records as JSON lines to standard error, which the starting process prints. `reads`: also
    record reads."""

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
                rule="secretops must write a record to standard error before each access to a secret; nothing was "
                "changed",
                remedy="check the log driver and the disk space of this node, then try again",
                code="access-not-recorded",
            ) from error
