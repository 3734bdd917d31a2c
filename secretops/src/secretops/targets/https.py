"""HTTPS requests with a bearer token and retries, by the standard library (docs/adr/0013)."""

from __future__ import annotations

import http
import http.client
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.message import Message
from typing import Any
from urllib.parse import urlsplit

from secretops.errors import UnreachableError, UsageError
from secretops.redaction import redact

# Attempts of a request, and waits for a rate limit.
TRIES = 3

# Seconds before the second attempt, doubled before the third.
PAUSE = 1.0

# The longest wait, in seconds, that a server may ask for.
LONGEST_WAIT = 60.0

# Seconds for one response, and for all requests about one thing with their waits.
ANSWER_SECONDS, ALL_SECONDS = 30.0, 120.0

# The largest response. A page of keys has a few thousand bytes.
MOST_BYTES = 1 << 20

_RULE = "what it was asked, the next tick asks again"
_REMEDY = "is it reached from here (HTTPS_PROXY leads through a proxy), and does it serve?"


class NoAnswerError(UnreachableError):
    """A request was sent, and its outcome is unknown."""


@dataclass(frozen=True, repr=False)
class Answer:
    """A response. It may have a value, so its repr has none."""

    status: int
    headers: Message
    text: bytes

    @property
    def json(self) -> dict[str, Any]:
        """The JSON object of the response, or an empty one."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def said(self) -> str:
        """The status, and the message of an error."""
        message = self.json.get("message") if self.status >= http.HTTPStatus.BAD_REQUEST else None
        return f"HTTP {self.status}" + (f": {redact(message)[:200]}" if isinstance(message, str) else "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


# For http, which stays on this machine: a proxy would see the token.
_NO_PROXY = urllib.request.ProxyHandler({})


@dataclass
class Patience:
    """Seconds left for all requests about one thing, and for each response."""

    left: float = ALL_SECONDS
    each: float = ANSWER_SECONDS


@dataclass(frozen=True, repr=False)
class Client:
    """Sends requests to one server with one token."""

    base: str
    """https://HOST, or http on this machine."""
    token: str
    sleep: Callable[[float], None] = time.sleep
    patience: Patience = field(default_factory=Patience)

    def __post_init__(self) -> None:
        check_url(self.base)
        if not self.token.isascii() or not self.token.isprintable() or " " in self.token:
            raise UsageError(
                f"{self.host}: its token is not one word of ASCII",
                rule="a token travels in a header, on one line",
                remedy="supply it again with `secretops put`, as it was given to you",
            )

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    def ask(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, again: bool = True) -> Answer:
        """Return the response, also of an error. Waits and retries as the server asks.

        `again`: retry a request of unknown outcome. Raises UnreachableError, and NoAnswerError for such a request.
        """
        wait, left = PAUSE, TRIES
        while True:
            left -= 1
            if self.patience.left <= 0:
                what = f"{self.host}: not asked, for what was asked before took {ALL_SECONDS:.0f} s"
                raise UnreachableError(what, rule=_RULE, remedy=_REMEDY)
            try:
                answer = self._once(method, path, body)
            except (OSError, http.client.HTTPException) as error:
                if not left or not again or self.patience.left <= wait:
                    why = redact(str(getattr(error, "reason", "") or error)) or type(error).__name__
                    raise NoAnswerError(f"{self.host}: {why}", rule=_RULE, remedy=_REMEDY) from None
            else:
                if answer.status == http.HTTPStatus.TOO_MANY_REQUESTS:
                    asked = _asked_to_wait(answer.headers)
                    if not left or asked > min(LONGEST_WAIT, self.patience.left):
                        what = f"{self.host}: {answer.said}; it asks to wait {asked:.0f} s"
                        raise UnreachableError(what, rule=_RULE, remedy="nothing to do, if another try can wait")
                    self._wait(asked)
                    continue
                broken = answer.status >= http.HTTPStatus.INTERNAL_SERVER_ERROR
                if not broken or not left or not again or self.patience.left <= wait:
                    return answer
            self._wait(wait)
            wait *= 2

    def _wait(self, seconds: float) -> None:
        self.sleep(seconds)
        self.patience.left -= seconds

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - check_url has seen the scheme
            self.base.rstrip("/") + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Accept": "application/json",
                "Authorization": f"Bearer {self.token}",
                "Content-Type": "application/json",
                "User-Agent": "secretops",
            },
        )
        began = time.monotonic()
        near = [_NO_PROXY] if urlsplit(self.base).scheme == "http" else []
        opener = urllib.request.build_opener(_NoRedirect, *near)
        try:
            with opener.open(request, timeout=min(self.patience.each, self.patience.left)) as response:
                return Answer(response.status, response.headers, response.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read(MOST_BYTES))
        finally:
            self.patience.left -= time.monotonic() - began


def check_url(url: str) -> None:
    """Raise UsageError for an invalid URL, and for one that a token must not be sent to."""
    try:
        at = urlsplit(url)
        host, _ = at.hostname, at.port
    except ValueError:
        at, host = urlsplit(""), None
    allowed = ("https", "http") if host in ("localhost", "127.0.0.1", "::1") else ("https",)
    if not host or at.path not in ("", "/") or at.query or at.username is not None or at.scheme not in allowed:
        raise UsageError(
            f"{url}: not the URL of a server that a token is sent to",
            rule="https, a host, and no path; http only on this machine",
            remedy="write it like https://example.agents.do-ai.run",
        )


def _asked_to_wait(headers: Message) -> float:
    """Return the seconds of retry-after, else until the time of ratelimit-reset, else a pause.

    https://docs.digitalocean.com/reference/api/reference/#section/Introduction/Rate-Limit
    """
    for name, since in (("retry-after", 0.0), ("ratelimit-reset", time.time())):
        try:
            return max(PAUSE, float(headers.get(name, "")) - since)
        except ValueError:
            continue
    return PAUSE
