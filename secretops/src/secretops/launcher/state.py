"""The launcher's state, for health checks, metrics and the log. Contains no values."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Literal

# Seconds without a completed poll after which `is_followed` is False. The slowest poll, in which the store does not
# answer for any secret, or the broker for a new version, takes less.
STALE_SECONDS = 300.0

# Secrets with the credentials of the broker connection.
CONNECTION_SECRETS = frozenset({"mqtt", "client-cert"})

Event = Literal["swaps", "refused_versions", "refused_publishes", "failed_connects"]


class LauncherState:
    """Versions in use, missing values, and events since the start.

    Attributes are replaced, never changed in place, so that other threads need no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last_poll = time.monotonic()
        self._poll_failed = False
        self.counts = Counter[Event]()
        # Secret -> id of the latest version that the server uses, or "unknown".
        self.versions: dict[str, str] = {}
        # Whether an MCP client chose the broker connection with a tool.
        self.connection_by_tool: Callable[[], bool] = lambda: False
        # Secrets without a value.
        self.waiting_for: tuple[str, ...] = ()
        # Whether the broker has accepted the client in use.
        self.connected = False
        # When the source was last read without an error, in seconds since 1970; 0: never.
        self.read_at = 0.0
        # When the client certificate in use expires, in UTC.
        self.expires_at: datetime | None = None

    def use(self, versions: Mapping[str, str], expires_at: datetime | None) -> None:
        self.versions, self.expires_at, self.waiting_for = dict(versions), expires_at, ()

    def versions_in_use(self) -> dict[str, str]:
        """Return the versions in use. Excludes CONNECTION_SECRETS if a tool chose the broker or user."""
        unused = CONNECTION_SECRETS if self.connection_by_tool() else frozenset()
        return {secret: version for secret, version in self.versions.items() if secret not in unused}

    def polled(self, read_at: float) -> None:
        self.read_at, self._last_poll, self._poll_failed = read_at, time.monotonic(), False

    def poll_failed(self) -> None:
        self._poll_failed = True

    def is_followed(self) -> bool:
        """Return whether polls of the source complete, even if it is unreadable at the moment."""
        return not self._poll_failed and time.monotonic() - self._last_poll < STALE_SECONDS

    def count(self, event: Event) -> None:
        with self._lock:
            self.counts[event] += 1
