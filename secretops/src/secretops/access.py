"""Access records for stores that have no access log of their own (dotenv, swarm). They contain no value.

A record is on disk before the access happens. If it cannot be written, the access fails.
"""

from __future__ import annotations

import json
import os
import pwd
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from secretops.errors import StoreError
from secretops.owned_files import append_line

Operation = Literal["read", "write", "delete"]


def this_actor(role: str) -> str:
    """Return this process's role, account and host, for example "rotator:app@host"."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name  # not $USER, which anybody can set
    except KeyError:  # a numeric uid without an account, as in many containers
        user = str(os.geteuid())
    return f"{role}:{user}@{socket.gethostname()}"


def record_line(actor: str, operation: Operation, secret: str, version: str, purpose: str) -> str:
    return json.dumps(
        {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "actor": actor,
            "operation": operation,
            "secret": secret,
            "version": version,
            "purpose": purpose,
        }
    )


@dataclass(frozen=True)
class AccessRecords:
    """The access records of one actor: JSON lines that are appended to a file of mode 600."""

    path: Path
    actor: str

    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None:
        """Append a record and flush it to disk. Raises StoreError."""
        try:
            append_line(self.path, record_line(self.actor, operation, secret, version, purpose))
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror}",
                rule="secretops must write a record to this file before each access to a secret; nothing was changed",
                remedy=f"let this account write to {self.path}, or free disk space, then try again",
                code="access-not-recorded",
            ) from error
