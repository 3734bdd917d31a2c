"""The file with the state of a run, from which the next command continues the run or removes what it created."""

from __future__ import annotations

import fcntl
import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, Field

from secretops.errors import LeaseHeldError
from secretops.redaction import redact
from tools.live.checks import Result

# Account numbers: twelve digits, also within an ARN; the GUIDs of subscriptions, tenants and principals; and e-mail
# addresses, as in the names of sessions.
_ACCOUNTS = re.compile(
    r"(?<!\d)\d{12}(?!\d)|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b|[\w.+-]+@[\w-]+(\.[\w-]+)+", re.IGNORECASE
)


def anonymous(text: str) -> str:
    """Return `text` without values that this process knows, account numbers and e-mail addresses."""
    return _ACCOUNTS.sub("(account)", redact(text))


def utc() -> str:
    return f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"


class CheckOutcome(BaseModel):
    """The result of a check. `seconds` is the time since the previous check."""

    result: Result
    detail: str
    at: str = Field(default_factory=utc)
    seconds: float


class Leftover(BaseModel):
    """What remains, and the command that removes it."""

    what: str
    command: str


class State(BaseModel):
    """The content of the file. `done` has the names of the steps that have ended. `cleaning` is true once the copy's
    removal has begun; then no further step runs. `finished` is true once the removal has ended."""

    began: str = Field(default_factory=utc)
    standin: bool = False
    done: list[str] = []
    # Whether the creation of the Pulumi stack has begun. If not, there is nothing to remove.
    created: bool = False
    cleaning: bool = False
    finished: bool = False
    # Resource type -> ids, for the types that a check names.
    resources: dict[str, list[str]] = {}
    # Doctor's check -> what is wrong.
    doctor: dict[str, str] = {}
    outcomes: dict[str, CheckOutcome] = {}
    leftovers: list[Leftover] = []


@contextmanager
def run_lock(folder: Path) -> Iterator[int]:
    """Lock the run, and yield the lock's descriptor. Raises LeaseHeldError.

    A command that inherits the descriptor keeps the lock even if this process is killed.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (folder / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            rule = "only one make live of a stack may run; a command of a killed run may still be running"
            remedy = "wait until that run has ended, then run make live again"
            raise LeaseHeldError(
                f"{folder.name}: a run is active", rule=rule, remedy=remedy, code="live-busy"
            ) from None
        yield file.fileno()
