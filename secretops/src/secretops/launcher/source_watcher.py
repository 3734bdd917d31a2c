"""Watch a source: wait for its first values, then swap to each new version or reject it.

A swap connects a new client, waits for CONNACK, subscribes, waits for the acknowledgements, and then uses the new
client. The former client unsubscribes, drains and disconnects. No call fails and no message is lost. A message may
arrive twice (QoS 1), because both clients are subscribed for some milliseconds.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from secretops.errors import RefusedError, SecretopsError, UnreachableError, UsageError
from secretops.launcher.client import BrokerClient
from secretops.launcher.connection import BrokerConnection, no_answer, refusal, set_report, tls_context
from secretops.launcher.http_options import BearerTokens, HttpOptions
from secretops.launcher.polling_source import REQUIRED
from secretops.launcher.settings import NotYetError, ServerSettings
from secretops.launcher.sources import Source
from secretops.launcher.state import LauncherState
from secretops.launcher.upstream import UpstreamServer, set_tool_settings
from secretops.launcher.watch import keep_polling
from secretops.manifest import HTTP_TOKEN

log = logging.getLogger(__name__)

# Seconds between two reads, and their maximum number. A read is repeated if the source changed meanwhile: a file may be
# half-written.
SETTLE_SECONDS, SETTLE_TRIES = 0.1, 10

# Seconds until a rejected version is tried again, doubled up to LAST_RETRY: the broker may learn of it late.
FIRST_RETRY, LAST_RETRY = 1.0, 30.0

# Seconds for the broker's CONNACK, and for its answers to all subscriptions.
ANSWER_SECONDS = 10.0

# Seconds between two checks whether a newer version makes a swap obsolete.
CHECK_SECONDS = 0.2

# Seconds that `stop` waits for the end of a swap.
END_SECONDS = 2.0


T = TypeVar("T")


def read_stable(source: Source, stopping: threading.Event) -> tuple[ServerSettings, str]:
    """Return settings and their fingerprint. Reads both again if the source changes meanwhile. Raises the errors of
    `Source.read`."""
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


class FirstValues:
    """Waits for the values and the token that a server needs to serve."""

    def __init__(
        self,
        source: Source,
        options: HttpOptions,
        tokens: BearerTokens,
        state: LauncherState,
        stopping: threading.Event,
    ) -> None:
        self._source, self._options, self._tokens, self._state = source, options, tokens, state
        self._stopping = stopping
        self._fingerprint, self._error = "", ""

    def check(self) -> None:
        """Raise UsageError for a mistake in the settings, or if a token is required and the source cannot supply it
        later."""
        try:
            self._read()
        except UsageError:
            raise
        except SecretopsError as error:  # for example, a role that Azure has not applied yet: `wait` reads again
            self._report(error)
            self._state.waiting_for = (REQUIRED,)

    def wait(self) -> bool:
        """Wait for all values. Return False if the launcher ends before. Logs mistakes instead of raising them."""
        if self._state.waiting_for:
            keep_polling(self._poll, self._source, self._stopping, self._state)
        return not self._state.waiting_for

    def _poll(self) -> bool:
        fingerprint = self._source.fingerprint()
        if fingerprint != self._fingerprint:
            self._fingerprint = ""  # after an exception, the next poll reads again
            try:
                self._read()
            except SecretopsError as error:
                self._report(error)
                if not isinstance(error, UsageError):
                    return False
            else:
                self._error = ""
            self._fingerprint = fingerprint
        return not self._state.waiting_for

    def _report(self, error: SecretopsError) -> None:
        if self._error != str(error):
            log.error("%s", error)
        self._error = str(error)

    def _read(self) -> None:
        missing: tuple[str, ...] = ()
        try:
            token = read_stable(self._source, self._stopping)[0].http_token
        except NotYetError as error:
            token, missing = error.http_token, error.secrets
            log.info("Waiting: %s", error)
        self._tokens.use(token)
        address = self._options.address
        if not address.is_loopback and not self._tokens.any:
            if not self._source.may_arrive("MCP_HTTP_TOKEN"):
                self._options.check(has_token=False)
            missing += (HTTP_TOKEN[0],)
            log.info("Waiting: --listen %s needs a bearer token. -> secretops put http-token", address)
        self._state.waiting_for = missing


class StoppedError(SecretopsError): ...


@dataclass
class Swap:
    """Switches the server to `settings`, unless `is_obsolete` returns True."""

    connection: BrokerConnection
    settings: ServerSettings
    is_obsolete: Callable[[], bool]

    def run(self) -> float | None:
        """Swap, and return the seconds that it took, or None if a tool has changed the connection meanwhile.

        Raises UsageError (TLS files), RefusedError, UnreachableError, StoppedError.
        """
        began = time.monotonic()
        former = self.connection.client
        new = self._new()
        try:
            self._connect(new)
            copied = dict(former.subscriptions) if former else {}
            self._subscribe(new, former, copied)
            adopted = self.connection.adopt(new, former, self.settings, copied)
        except BaseException:
            new.disconnect()  # does not wait for the client's thread: an unanswered TLS handshake takes 5 s
            raise
        if not adopted:
            new.disconnect()
            log.info("No swap: an MCP client has chosen another connection meanwhile.")
            return None
        return time.monotonic() - began

    def _new(self) -> BrokerClient:
        settings = self.settings
        new = self.connection.make(settings.client_id_prefix, settings.protocol)
        new.username_pw_set(settings.mqtt["username"], settings.mqtt["password"])
        set_report(new, settings)
        if settings.tls:
            new.tls_set_context(tls_context(*settings.tls.files))
        return new

    def _connect(self, new: BrokerClient) -> None:
        new.connect(self.settings.broker, self.settings.port)
        self._wait(lambda: new.has_answer(CHECK_SECONDS) or None, new, "no answer in time")
        if new.reason is None:
            raise no_answer(new, new.failure, self.settings.protocol)
        if new.reason.is_failure:
            raise refusal(new, new.reason, self.settings.protocol)

    def _subscribe(self, new: BrokerClient, former: BrokerClient | None, copied: dict[str, int]) -> None:
        """Subscribe `new` to all topics. Raises RefusedError if the broker refuses a topic that it granted to
        `former`."""
        granted = former.granted() if former and former.is_connected() else set()
        granted -= self.connection.own_listeners.keys()
        topics = self.connection.topics | copied
        same = former is not None and (former.host, former.port) == (self.settings.broker, self.settings.port)
        new.subscribe_all(topics, known=granted if same else ())  # another broker has other retained messages
        verdict = self._wait(lambda: new.verdict(topics, CHECK_SECONDS), new, "no answer to a subscription")
        if lost := sorted(topic for topic in granted if not verdict.get(topic, True)):
            raise RefusedError(
                f"the broker does not allow user {new.username!r} to subscribe to {', '.join(lost)}",
                rule="the user of a new version must have the rights of the previous user",
                remedy=f"grant user {new.username!r} the rights of the previous user at the broker",
                code="subscription-refused",
            )

    def _wait(self, answer: Callable[[], T | None], new: BrokerClient, otherwise: str) -> T:
        end = time.monotonic() + ANSWER_SECONDS
        while (found := answer()) is None:
            if self.is_obsolete():
                raise StoppedError(
                    "the swap stops: the launcher ends, or the source has a newer version",
                    remedy="nothing to do: a running launcher uses the newer version",
                    code="swap-obsolete",
                )
            if time.monotonic() >= end or (new.reason is not None and not new.is_connected()):
                raise no_answer(new, otherwise, self.settings.protocol)
        return found


@dataclass
class _Rejected:
    fingerprint: str
    settings: ServerSettings | None
    again: float
    pause: float = FIRST_RETRY


class SourceWatcher:
    """A thread that applies each new version of `source` to a server.

    `in_use` are the server's settings and their fingerprint. `notify` receives the settings of each version before they
    are used, and may raise a SecretopsError to reject them.
    """

    def __init__(
        self,
        source: Source,
        server: UpstreamServer,
        connection: BrokerConnection,
        state: LauncherState,
        *,
        in_use: tuple[ServerSettings, str],
        notify: Callable[[ServerSettings], None],
    ) -> None:
        self._source, self._server, self._connection, self._state = source, server, connection, state
        self._notify = notify
        self._settings, self._fingerprint = in_use
        # the last settings of tools and tokens: those of a version that was rejected, or of the one in use
        self._applied = self._settings
        self._rejected: _Rejected | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="source-watcher", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(END_SECONDS)

    def _follow(self) -> None:
        keep_polling(self._poll, self._source, self._stopping, self._state)

    def _poll(self) -> bool:
        """Apply the source's version, unless it is in use, or was rejected and its next try is not due."""
        fingerprint = self._source.fingerprint()
        known = self._rejected if self._rejected and self._rejected.fingerprint == fingerprint else None
        if fingerprint == self._fingerprint:
            self._rejected = None
            if self._applied is not self._settings:
                self._apply(self._settings)
        elif known is None or time.monotonic() >= known.again:
            self._try(fingerprint, known.settings if known else None)
        return False

    def _try(self, fingerprint: str, settings: ServerSettings | None) -> None:
        try:
            if settings is None:
                settings, fingerprint = read_stable(self._source, self._stopping)
            self._use(settings, fingerprint)
        except StoppedError:
            return
        except Exception as error:  # the version in use stays
            self._reject(fingerprint, settings, error)
        else:
            self._fingerprint, self._settings, self._rejected = fingerprint, settings, None

    def _use(self, settings: ServerSettings, fingerprint: str) -> None:
        before = self._settings
        self._apply(settings)
        seconds = None
        if settings.link == before.link:
            self._connection.update(settings)
        elif self._connection.chosen_by_tool:
            self._connection.update(settings)
            log.info("The new version is not in use: an MCP client has chosen the connection by a tool.")
        else:
            seconds = Swap(self._connection, settings, lambda: self._is_obsolete(fingerprint)).run()
        self._state.use(settings.versions, settings.tls.expires_at() if settings.tls else None)
        for secret, version in self._state.versions_in_use().items():
            if before.versions.get(secret) != version:
                log.info("Using version %s of %s.", version, secret)
        if seconds is not None:
            self._state.count("swaps")
            log.info("Swapped the MQTT client in %.0f ms.", seconds * 1000)

    def _apply(self, settings: ServerSettings) -> None:
        self._notify(settings)
        set_tool_settings(settings, self._server)
        self._applied = settings

    def _is_obsolete(self, fingerprint: str) -> bool:
        return self._stopping.is_set() or self._source.fingerprint() != fingerprint

    def _reject(self, fingerprint: str, settings: ServerSettings | None, error: Exception) -> None:
        now, rejected = time.monotonic(), self._rejected
        if isinstance(error, (RefusedError, UnreachableError)):
            self._state.count("failed_connects")
        if rejected and rejected.fingerprint == fingerprint:
            rejected.pause = min(2 * rejected.pause, LAST_RETRY)
            rejected.again = now + rejected.pause
            return
        self._rejected = _Rejected(fingerprint, settings, now + FIRST_RETRY)
        self._state.count("refused_versions")
        reason = str(error) if isinstance(error, SecretopsError) else f"{type(error).__name__}: {error}"
        log.error("A new version was rejected and will be retried; the previous version stays in use.\n%s", reason)
