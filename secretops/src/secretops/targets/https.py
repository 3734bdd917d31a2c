"""Send HTTPS requests with a bearer token and retries, with the standard library (docs/adr/0013)."""

from __future__ import annotations

import http
import http.client
import io
import json
import socket
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

# Maximum attempts of a request, including those after a rate limit.
TRIES = 3
# Seconds before the second attempt, doubled before the third.
PAUSE = 1.0
# Longest rate-limit wait in seconds.
LONGEST_WAIT = 60.0
# Seconds for one response, and for all requests of one operation with their waits.
ANSWER_SECONDS, ALL_SECONDS = 30.0, 120.0
# Largest response. A page of keys has a few thousand bytes.
MOST_BYTES = 1 << 20
_RULE = "the API must answer in time; the next tick sends the request again"
_CHECK = "check the network from here (HTTPS_PROXY sets a proxy), and https://status.digitalocean.com"
# For http, which is local: a proxy would receive the token.
_NO_PROXY = urllib.request.ProxyHandler({})


class NoAnswerError(UnreachableError):
    """A request was sent, and its outcome is unknown."""


@dataclass(frozen=True, repr=False)
class Answer:
    """A response. It has no repr, since it may contain a secret value."""

    status: int
    headers: Message
    text: bytes

    @property
    def json(self) -> dict[str, Any]:
        """Return the JSON object; an empty one if the text is no JSON object."""
        try:
            found = json.loads(self.text)
        except (ValueError, RecursionError):
            return {}
        return found if isinstance(found, dict) else {}

    @property
    def summary(self) -> str:
        message = self.json.get("message") if self.status >= http.HTTPStatus.BAD_REQUEST else None
        return f"HTTP {self.status}" + (f": {redact(message)[:200]}" if isinstance(message, str) else "")


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


class _LimitedReader(io.RawIOBase):
    # The timeout of a socket limits each read, but not their sum.
    def __init__(self, raw: io.RawIOBase, connection: socket.socket) -> None:
        self._raw, self._socket = raw, connection
        self._end = time.monotonic() + (connection.gettimeout() or ANSWER_SECONDS)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if (left := self._end - time.monotonic()) <= 0:
            raise TimeoutError("the answer takes too long")
        self._socket.settimeout(left)
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _LimitedResponse(http.client.HTTPResponse):
    def __init__(self, sock: socket.socket, *args: Any, **options: Any) -> None:
        super().__init__(sock, *args, **options)
        self.fp = io.BufferedReader(_LimitedReader(self.fp.detach(), sock))


class _HttpConnection(http.client.HTTPConnection):
    response_class = _LimitedResponse


class _HttpsConnection(http.client.HTTPSConnection):
    response_class = _LimitedResponse


class _Limited(urllib.request.HTTPSHandler, urllib.request.HTTPHandler):
    def http_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpConnection, req)

    def https_open(self, req: urllib.request.Request) -> http.client.HTTPResponse:
        return self.do_open(_HttpsConnection, req)


@dataclass
class TimeBudget:
    """The seconds left for all requests of an operation (`left`), and for each response (`each`)."""

    left: float = ALL_SECONDS
    each: float = ANSWER_SECONDS
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, repr=False)
class Client:
    # https://HOST, or http on this machine.
    base: str
    token: str
    budget: TimeBudget = field(default_factory=TimeBudget)

    def __post_init__(self) -> None:
        check_url(self.base)
        check_header_value(f"the token or key for {self.host}", self.token)

    @property
    def host(self) -> str:
        return urlsplit(self.base).netloc

    def send(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, retry: bool = True) -> Answer:
        """Send a request, and return the response, even one with an HTTP error. Waits for a rate limit, and retries.

        `retry`: also repeat a request that was not answered, or that the server failed to process. Raises
        UnreachableError, and NoAnswerError if there was no answer.
        """
        answer: Answer | None
        for attempt in range(1, TRIES + 1):
            if self.budget.left <= 0:
                raise UnreachableError(
                    f"{self.host}: the request was not sent: earlier requests of this command took {ALL_SECONDS:.0f} s",
                    rule=f"the requests of a command may take {ALL_SECONDS:.0f} s in all; the next tick sends the "
                    "request again",
                    remedy=_CHECK,
                    code="api-time-exceeded",
                )
            try:
                answer, why = self._once(method, path, body), ""
            except (OSError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", "") or error
                answer, why = None, redact(str(getattr(reason, "strerror", "") or reason)) or type(error).__name__
            pause = PAUSE * 2 ** (attempt - 1)
            if answer and answer.status == http.HTTPStatus.TOO_MANY_REQUESTS:
                pause = _requested_pause(answer.headers)
                if attempt == TRIES or pause > min(LONGEST_WAIT, self.budget.left):
                    raise UnreachableError(
                        f"{self.host}: {answer.summary}; retry after {pause:.0f} s",
                        rule="a token must not exceed the rate limit of the API; the next tick sends the request again",
                        remedy="nothing to do; if it is urgent, run the command again after that time",
                        code="api-rate-limited",
                    )
            elif answer and answer.status < http.HTTPStatus.INTERNAL_SERVER_ERROR:
                return answer
            elif attempt == TRIES or not retry or self.budget.left <= pause:
                if answer:
                    return answer
                raise NoAnswerError(
                    f"{self.host}: {why}",
                    rule=_RULE,
                    remedy=_CHECK,
                    code="api-unreachable",
                )
            self.budget.sleep(pause)
            self.budget.left -= pause
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _once(self, method: str, path: str, body: Mapping[str, Any] | None) -> Answer:
        request = urllib.request.Request(  # noqa: S310 - check_url checks the scheme
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
        began, seconds = time.monotonic(), min(self.budget.each, self.budget.left)
        local = [_NO_PROXY] if urlsplit(self.base).scheme == "http" else []
        opener = urllib.request.build_opener(_NoRedirect, _Limited, *local)
        try:
            with opener.open(request, timeout=seconds) as response:
                return Answer(response.status, response.headers, response.read(MOST_BYTES))
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, error.headers, error.read(MOST_BYTES))
        finally:
            self.budget.left -= time.monotonic() - began


def check_header_value(name: str, token: str) -> None:
    if not token.isascii() or not token.isprintable() or " " in token:
        raise UsageError(
            f"{name}: a space, or a character that is not printable ASCII",
            rule="a token or key must be printable ASCII without spaces, because it is sent in an HTTP header",
            remedy="supply it again, exactly as its issuer shows it",
            code="api-token-invalid",
        )


def check_url(url: str) -> None:
    """Raise UsageError for an invalid URL, or a URL that must not receive a token."""
    try:
        at = urlsplit(url)
        host, _ = at.hostname, at.port
    except ValueError:
        at, host = urlsplit(""), None
    allowed = ("https", "http") if host in ("localhost", "127.0.0.1", "::1") else ("https",)
    if not host or at.path not in ("", "/") or at.query or at.username is not None or at.scheme not in allowed:
        raise UsageError(
            f"{url}: not a valid base URL of an API",
            rule="the URL must be https://HOST or https://HOST:PORT, without path, query and user; only localhost may "
            "have http",
            remedy="correct the URL: the agent's, for example https://example.agents.do-ai.run, or that of "
            "DigitalOcean's API in $DIGITALOCEAN_API_URL",
            code="server-url-invalid",
        )


def _requested_pause(headers: Message) -> float:
    """Return the seconds in retry-after; without it, the time until ratelimit-reset; else PAUSE.

    https://docs.digitalocean.com/reference/api/reference/#section/Introduction/Rate-Limit
    """
    for name, since in (("retry-after", 0.0), ("ratelimit-reset", time.time())):
        try:
            return max(PAUSE, float(headers.get(name, "")) - since)
        except ValueError:
            continue
    return PAUSE
