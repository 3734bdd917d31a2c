"""The checks before every route: how a request is framed, its Host and Origin, and the bearer token."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from secretops.launcher.http_token import BearerTokens
from secretops.launcher.limits import Seldom, admit
from secretops.launcher.listening import Names

log = logging.getLogger(__name__)

OPEN = frozenset({"/healthz", "/readyz"})
"""Asked by a platform that has no token."""

RETRY_AFTER = "5"
"""Seconds after which a client may ask again while values are waited for."""


class Guard:
    """An ASGI application before another. It looks at headers alone: a refused request's body is never read."""

    def __init__(self, app: ASGIApp, *, names: Names, tokens: BearerTokens, is_loopback: bool) -> None:
        self._app, self._names, self._tokens = app, names, tokens
        self._is_loopback = is_loopback
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refused = self._refuse_framing(scope) or self._refuse(scope)
        if not refused and scope["path"] not in OPEN:
            admit(scope)
        await (refused or self._app)(scope, receive, send)

    def _refuse_framing(self, scope: Scope) -> Response | None:
        """RFC 9112, section 6.1: a proxy may have seen another end of such a body, and another request after it."""
        headers = Headers(scope=scope)
        if "transfer-encoding" not in headers or ("content-length" not in headers and scope["http_version"] != "1.0"):
            return None
        self._refusals.tell("its body has two lengths", scope)
        return PlainTextResponse("Bad Request\n", 400, {"Connection": "close"})

    def _refuse(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        is_plain_probe = scope["path"] in OPEN and scope["http_version"] == "1.0" and "host" not in headers
        if not is_plain_probe and not self._names.host(headers.get("host")):
            self._refusals.tell("its Host is none of ours (--allowed-host, MCP_ALLOWED_HOSTS)", scope)
            return PlainTextResponse("Misdirected Request\n", 421)
        if not self._names.origin(headers.get("origin"), headers.get("host")):
            self._refusals.tell("its Origin is none of ours (--allowed-host, MCP_ALLOWED_HOSTS)", scope)
            return PlainTextResponse("Forbidden\n", 403)
        if not self._needs_token(scope["path"]):
            return None
        if not self._tokens.any:  # outside loopback, and waiting for it
            return PlainTextResponse("Service Unavailable\n", 503, {"Retry-After": RETRY_AFTER})
        if not self._tokens.accept(headers.get("authorization")):
            self._refusals.tell("it has no token, or one that is not (or no longer) right", scope)
            return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": "Bearer"})
        return None

    def _needs_token(self, path: str) -> bool:
        if path in OPEN:
            return False
        if self._is_loopback:
            return self._tokens.any and path != "/metrics"
        return True


class Refusals:
    """One line for the first refused request, then one each LOG_EVERY seconds with how many there were."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._seldom = Seldom(clock)

    def tell(self, reason: str, scope: Scope) -> None:
        """Of `scope` only the peer's address is logged: a path, a query or a header may have a secret."""
        if (more := self._seldom.due()) is not None:
            peer = (scope.get("client") or ("an unknown peer",))[0]
            log.warning("A request of %s was refused: %s.%s", peer, reason, more)
