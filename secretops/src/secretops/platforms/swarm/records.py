"""Own access records: a Swarm has no trail of reads. One line of JSON on the log of the task that has the values, and
on the terminal of whoever changes something without one, as a purge does."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import Protocol

from secretops.access import Operation
from secretops.errors import StoreError


class Records(Protocol):
    """Where an access is written down, before it happens. `access.AccessRecords` is one."""

    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None:
        """Raises StoreError: then the access does not happen."""


class LogRecords:
    """Records on standard error; a task's are passed on by whoever carried the command.

    `reads`: whether a value can be read here. Where none can, an attempt to is no access.
    """

    def __init__(self, actor: str, *, reads: bool) -> None:
        self._actor, self._reads = actor, reads

    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None:
        if operation == "read" and not self._reads:
            return
        record = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "actor": self._actor,
            "operation": operation,
            "secret": secret,
            "version": version,
            "purpose": purpose,
        }
        try:
            print(json.dumps(record), file=sys.stderr, flush=True)  # noqa: T201
        except OSError as error:
            raise StoreError(
                f"standard error: {error.strerror}",
                rule="every access to a secret is recorded before it happens; this one could not be",
                remedy="try again; nothing was changed",
            ) from error
