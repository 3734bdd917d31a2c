"""A server over HTTP is started before its values are there: it listens, reports what it waits for, and waits."""

from __future__ import annotations

import logging
import threading

from secretops.errors import SecretopsError
from secretops.launcher.follow import read_settled
from secretops.launcher.http_token import BearerTokens
from secretops.launcher.listening import Listening
from secretops.launcher.settings import NotYetError
from secretops.launcher.source import Source
from secretops.launcher.state import LauncherState
from secretops.launcher.watch import keep_polling
from secretops.manifest import HTTP_TOKEN

log = logging.getLogger(__name__)


class FirstValues:
    """Everything that a server at `listening` needs from `source` before it can serve: its values, and a token."""

    def __init__(
        self,
        source: Source,
        listening: Listening,
        tokens: BearerTokens,
        state: LauncherState,
        stopping: threading.Event,
    ) -> None:
        self._source, self._listening, self._tokens, self._state = source, listening, tokens, state
        self._address, self._stopping = f"--listen {listening.address}", stopping
        self._fingerprint = ""

    def look(self) -> None:
        """Once, before it listens. Raises UsageError for what waiting does not mend: a mistake, or that the token that
        the address asks for is missing from a source that can't bring it any more. All else is waited for."""
        self._read()
        if HTTP_TOKEN[0] in self._state.waiting_for and not self._source.may_bring("MCP_HTTP_TOKEN"):
            self._listening.check(has_token=False)

    def wait(self) -> bool:
        """Wait until everything is there; False when the launcher is ended before. Mistakes are only logged: a file
        that is written in place is half-written for a moment."""
        if self._state.waiting_for:
            keep_polling(self._poll, self._source, self._stopping, self._state)
        return not self._state.waiting_for

    def _poll(self) -> bool:
        fingerprint = self._source.fingerprint()
        if fingerprint != self._fingerprint:
            self._fingerprint = fingerprint
            try:
                self._read()
            except SecretopsError as error:
                log.error("%s", error)  # noqa: TRY400 - a person's mistake, not ours
        return not self._state.waiting_for

    def _read(self) -> None:
        missing: tuple[str, ...] = ()
        try:
            settings, _ = read_settled(self._source, self._stopping)
        except NotYetError as error:
            self._tokens.use(error.http_token)
            missing = error.secrets
            log.info("Waiting: %s", error)
        else:
            self._tokens.use(settings.http_token)
        if not self._listening.address.is_loopback and not self._tokens.any:
            missing += (HTTP_TOKEN[0],)
            log.info("Waiting: a token is not there yet, and %s needs one. -> secretops put http-token", self._address)
        self._state.waiting_for = missing
