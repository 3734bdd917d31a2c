"""Where a value comes from. No daemon gives one back: it is read by the task that has it, as a file, or remembered by
the process that made it.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from secretops.errors import ExitCode, StoreError
from secretops.platforms.swarm.api import Api
from secretops.platforms.swarm.task import SECRETS, is_task


class Values(Protocol):
    """The texts of Swarm secrets, by their names. A secret can't change, so that a name is one text for ever."""

    def text(self, name: str) -> str | None:
        """The text of the one called `name`; None when there is none here. Raises StoreError where none can be read."""

    def keep(self, name: str, text: str) -> None:
        """Remember what was just written: it is mounted in no task yet."""


class MadeSinceError(StoreError):
    """The value is there, and younger than the task: somebody else rotated before this one's turn."""

    exit_code = ExitCode.BUSY


def _is_in_the_swarm(name: str) -> bool:
    return Api().get(f"/secrets/{name}") is not None


class Mounted:
    """Those of the task that this process runs in: what was kept when it was started."""

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
                rule="a carried command reads the values that its task has as files",
                remedy="secretops doctor; a value that somebody made by hand is replaced with secretops put",
            ) from None

    def keep(self, name: str, text: str) -> None:
        self._made[name] = text


class Elsewhere:
    """This process is in no task of the Swarm: it has no value, and says what has."""

    def text(self, name: str) -> str | None:
        raise StoreError(
            f"{name}: its value can't be read here",
            rule="a Swarm gives a secret's value to nobody but a task that has it",
            remedy="secretops tick, rotate and put run as such a task",
        )

    def keep(self, name: str, text: str) -> None:  # noqa: ARG002 - it is not kept
        raise StoreError(
            f"{name}: no value is made here",
            rule="values are made and proven by a task of the Swarm, which can read them",
            remedy="secretops tick, rotate and put run as such a task",
        )


def found_here() -> Values:
    """Those that this process can read."""
    return Mounted() if is_task() else Elsewhere()
