"""Access records: who read or wrote which version of which secret, when and what for. Never a value.

For stores without a trail of their own (dotenv, swarm). A record is on disk before the value is handed out: a read
that cannot be recorded does not happen, as with Vault's audit devices.
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
    """Who this process is, for a record: its role and the account it runs as, e.g. "rotator:app@host"."""
    try:
        user = pwd.getpwuid(os.geteuid()).pw_name  # not $USER, which anybody can set
    except KeyError:  # a numeric uid without an account, as in many containers
        user = str(os.geteuid())
    return f"{role}:{user}@{socket.gethostname()}"


def record_line(actor: str, operation: Operation, secret: str, version: str, purpose: str) -> str:
    """Return the record of an access that happens now, as one line of JSON."""
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
    """An append-only file of JSON lines, mode 600, kept by one actor."""

    path: Path
    actor: str

    def write(self, operation: Operation, secret: str, version: str, purpose: str) -> None:
        """Add one record and wait until it is on disk. Raises StoreError."""
        try:
            append_line(self.path, record_line(self.actor, operation, secret, version, purpose))
        except OSError as error:
            raise StoreError(
                f"{self.path}: {error.strerror}",
                rule="every access to a secret is recorded before it happens; this one could not be",
                remedy="make the file writable and its disk not full, then try again; nothing was changed",
            ) from error
