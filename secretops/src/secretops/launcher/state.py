"""The launcher's state, for health answers, metrics and the log. Never a value."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime

# After this time without a finished poll nobody polls the source any more. More than the slowest poll, in which a
# store does not answer for any of its secrets, or the broker for a new version.
STALE_SECONDS = 300.0

# The secrets that the connection to the broker is made with.
CONNECTION_SECRETS = frozenset({"mqtt", "client-cert"})


class LauncherState:
    """What is in use, what is waited for, and what has happened since the start. One for the life of the process.

    Written by the launcher's own threads, read by any. Each attribute is replaced whole, never changed in place, so
    a reader needs no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._heard = time.monotonic()
        self._poll_failed = False
        self.versions: dict[str, str] = {}
        """secret -> id of the version that the server was given last, "unknown" where the source does not say."""
        self.connection_is_of_a_tool: Callable[[], bool] = lambda: False
        """Whether an MCP client chose the connection with a tool."""
        self.waiting_for: tuple[str, ...] = ()
        """Names of the secrets that have no value yet."""
        self.connected = False
        """Whether the client that the server uses has its broker's yes."""
        self.read_at = 0.0
        """When the source was last read without an error, in seconds since 1970; 0 before the first time."""
        self.swaps = 0
        """New versions taken over by another MQTT client."""
        self.refused_versions = 0
        """New versions that could not be taken; the one before went on. A version counts once."""
        self.failed_connects = 0
        """Attempts that the broker refused or did not answer, of every client."""
        self.refused_publishes = 0
        """Messages of the server that the broker refused. Only MQTT 5 reports it, at QoS 1 and 2."""
        self.expires_at: datetime | None = None
        """Until when the client certificate in use is valid, UTC; None without one."""

    def use(self, versions: Mapping[str, str], expires_at: datetime | None) -> None:
        """These are in use now, and nothing is waited for."""
        self.versions, self.expires_at, self.waiting_for = dict(versions), expires_at, ()

    def versions_in_use(self) -> dict[str, str]:
        """Return secret -> version. On a connection that a tool chose, none of the secrets that make one."""
        unused = CONNECTION_SECRETS if self.connection_is_of_a_tool() else frozenset()
        return {secret: version for secret, version in self.versions.items() if secret not in unused}

    def polled(self, read_at: float) -> None:
        """Record that a poll of the source has ended, and when the source was last read without an error."""
        self.read_at, self._heard, self._poll_failed = read_at, time.monotonic(), False

    def poll_failed(self) -> None:
        """Record that the last poll raised an exception, or that polling has ended."""
        self._poll_failed = True

    def is_followed(self) -> bool:
        """Whether the source is polled. True also while it can't be read: the values in use go on."""
        return not self._poll_failed and time.monotonic() - self._heard < STALE_SECONDS

    def count_swap(self) -> None:
        with self._lock:
            self.swaps += 1

    def count_refused_version(self) -> None:
        with self._lock:
            self.refused_versions += 1

    def count_failed_connect(self) -> None:
        with self._lock:
            self.failed_connects += 1

    def count_refused_publish(self) -> None:
        with self._lock:
            self.refused_publishes += 1
