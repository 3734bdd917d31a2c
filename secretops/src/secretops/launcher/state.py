"""How the launcher stands, for whoever asks: health answers, metrics, the log. Never a value."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from datetime import datetime


class LauncherState:
    """What is in use, what is waited for, and what has happened since the start. One for the life of the process.

    Written by the launcher's own threads, read by any. Each attribute is replaced whole, never changed in place, so
    a reader needs no lock.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.versions: dict[str, str] = {}
        """secret -> id of the version in use, "unknown" where the source does not say."""
        self.waiting_for: tuple[str, ...] = ()
        """Names of the secrets that have no value yet."""
        self.connected = False
        """Whether the client that the server uses has its broker's yes."""
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
