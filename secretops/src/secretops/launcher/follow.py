"""Keeps a running server on what its source says: each new version is tried, and taken or refused."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from secretops.errors import RefusedError, SecretopsError, UnreachableError
from secretops.launcher.connection import BrokerConnection
from secretops.launcher.settings import ServerSettings
from secretops.launcher.source import Source
from secretops.launcher.state import LauncherState
from secretops.launcher.swap import StoppedError, Swap
from secretops.launcher.upstream import UpstreamServer, hand_over_rest
from secretops.launcher.watch import keep_polling

log = logging.getLogger(__name__)

SETTLE_SECONDS = 0.1
SETTLE_TRIES = 10
"""A read counts when nothing changes around it. What does not parse may be half-written: it is read again, for 1 s."""

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds until a refused version is tried again, doubled each time: the broker may learn of it late."""

END_SECONDS = 2.0
"""How long `stop` waits for a swap under way to give up."""


def read_settled(source: Source, stopping: threading.Event) -> tuple[ServerSettings, str]:
    """The settings of a moment at which nothing was being written, and their fingerprint. Raises what `read` does."""
    for attempt in range(1, SETTLE_TRIES + 1):
        before = source.fingerprint()
        try:
            settings = source.read()
        except SecretopsError:
            if attempt == SETTLE_TRIES or stopping.is_set():
                raise
        else:
            if source.fingerprint() == before or attempt == SETTLE_TRIES:
                return settings, before
        stopping.wait(SETTLE_SECONDS)
    raise AssertionError  # the last attempt returns or raises


@dataclass
class _Refused:
    """A version that was not taken, when it is tried again, and how long it waits after that."""

    fingerprint: str
    settings: ServerSettings | None
    again: float
    pause: float = FIRST_RETRY


class Follower:
    """A thread that follows `source`. `settings` and `fingerprint` are what the server runs on already.

    `tell` is given each new version before it is taken, and may refuse it by raising SecretopsError.
    """

    def __init__(
        self,
        source: Source,
        server: UpstreamServer,
        connection: BrokerConnection,
        state: LauncherState,
        *,
        settings: ServerSettings,
        fingerprint: str,
        tell: Callable[[ServerSettings], None],
    ) -> None:
        self._source, self._server, self._connection, self._state = source, server, connection, state
        self._tell = tell
        self._settings, self._fingerprint = settings, fingerprint
        self._refused: _Refused | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="follower", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Take no new version from now on. One that is being tried is let go of."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    def _follow(self) -> None:
        keep_polling(self._poll, self._source, self._stopping, self._state)

    def _poll(self) -> bool:
        """Try the version that the source has now, unless it is in use or was refused a moment ago. Never done."""
        self._try_version(self._source.fingerprint())
        return False

    def _try_version(self, fingerprint: str) -> None:
        refused = self._refused
        if fingerprint == self._fingerprint:
            self._refused = None
            return
        known = refused if refused and refused.fingerprint == fingerprint else None
        if known and time.monotonic() < known.again:
            return
        settings = known.settings if known else None
        try:
            if settings is None:
                settings, fingerprint = read_settled(self._source, self._stopping)
            self._take(settings, fingerprint)
        except StoppedError:
            return
        except Exception as error:  # whatever it is: the version in use goes on
            self._refuse(fingerprint, settings, error)
        else:
            self._fingerprint, self._settings, self._refused = fingerprint, settings, None

    def _take(self, settings: ServerSettings, fingerprint: str) -> None:
        before = self._settings
        self._tell(settings)
        took = None
        if settings.link == before.link:
            self._connection.stay(settings)
        elif self._connection.is_of_a_tool:
            self._connection.stay(settings)
            log.info("An MCP client has chosen the connection by a tool: it stays. The new version is not in use.")
        else:
            took = Swap(self._connection, settings, lambda: self._is_obsolete(fingerprint)).run()
        hand_over_rest(settings, self._server)
        self._state.use(settings.versions, settings.tls.expires_at() if settings.tls else None)
        for secret, version in self._state.versions_in_use().items():
            if before.versions.get(secret) != version:
                log.info("On version %s of %s now.", version, secret)
        if took is not None:
            self._state.count_swap()
            log.info("Another MQTT client took over after %.0f ms.", took * 1000)

    def _is_obsolete(self, fingerprint: str) -> bool:
        return self._stopping.is_set() or self._source.fingerprint() != fingerprint

    def _refuse(self, fingerprint: str, settings: ServerSettings | None, error: Exception) -> None:
        now, refused = time.monotonic(), self._refused
        if isinstance(error, (RefusedError, UnreachableError)):
            self._state.count_failed_connect()
        if refused and refused.fingerprint == fingerprint:
            refused.pause = min(2 * refused.pause, LAST_RETRY)
            refused.again = now + refused.pause
            return
        self._refused = _Refused(fingerprint, settings, now + FIRST_RETRY)
        self._state.count_refused_version()
        told = str(error) if isinstance(error, SecretopsError) else f"{type(error).__name__}: {error}"
        log.error("A new version is not taken; the one before goes on, and this is tried again.\n%s", told)
