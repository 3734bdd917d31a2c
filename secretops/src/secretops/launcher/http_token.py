"""The bearer token of the HTTP transports: secret `http-token`, field `token`."""

from __future__ import annotations

import hmac
import logging
import re
import time
from collections.abc import Callable
from threading import Lock

from secretops.errors import UsageError
from secretops.values import Value

log = logging.getLogger(__name__)

OVERLAP = 300
"""Seconds for which the token before a change is still accepted: longer than a kubelet's sync of a mounted volume (one
minute, and its cache's delay), so that clients which are given the new one the same way are never refused. Whoever must
end a known token at once starts the server again: the one before is in memory only."""

SHORTEST = 32
"""Characters, the least that DESIGN's passwords have: it is guessed at over a network, without a lock-out."""

_SENDABLE = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
"""RFC 6750, section 2.1: what can follow the word Bearer."""


def check_token(token: str) -> None:
    """Raises UsageError, which does not repeat it, unless `token` can be sent in a header and not be guessed."""
    if len(token) < SHORTEST or not _SENDABLE.fullmatch(token):
        raise UsageError(
            "the token of http-token is too short, or has characters that a bearer token cannot have",
            rule=f"at least {SHORTEST} letters, digits or -._~+/ (RFC 6750)",
            remedy="for example `openssl rand -hex 32 | secretops put http-token`",
        )


class BearerTokens:
    """The tokens that are accepted now: the current one, and for OVERLAP seconds the one before. Thread-safe."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._lock = clock, Lock()
        self._current: bytes | None = None
        self._before: bytes | None = None
        self._until = 0.0

    @property
    def any(self) -> bool:
        """Whether there is a token. Once there was, there is: a file that goes away opens nothing."""
        return self._current is not None

    def use(self, value: Value | None) -> None:
        """Take the token of `value` as the current one. None, and the same again, change nothing.

        Raises UsageError, and goes on with the one it has, when the new one is none that `check_token` lets pass.
        """
        if value is None:
            return
        check_token(value["token"])
        token = value["token"].encode()
        with self._lock:
            if self._current is None:
                self._current = token
            elif not hmac.compare_digest(self._current, token):
                self._before, self._until = self._current, self._clock() + OVERLAP
                self._current = token
                log.info("A new http-token is in use; the one before is accepted for %s s more.", OVERLAP)

    def accept(self, authorization: str | None) -> bool:
        """Whether an Authorization header carries one. In constant time: every token is compared, to its end."""
        scheme, _, presented = (authorization or "").partition(" ")
        with self._lock:
            before = self._before if self._clock() < self._until else None
            tokens = [token for token in (self._current, before) if token is not None]
        given = presented.strip().encode()
        matches = [hmac.compare_digest(given, token) for token in tokens]
        return scheme.lower() == "bearer" and True in matches
