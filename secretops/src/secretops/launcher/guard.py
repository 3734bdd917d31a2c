"""The checks before every route: framing of the request, Host and Origin, and the bearer token."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from secretops.launcher.http_options import BearerTokens, HttpOptions
from secretops.launcher.limits import LogThrottle, admit

log = logging.getLogger(__name__)

# The routes that need no token: a platform's probes have none.
OPEN = frozenset({"/healthz", "/readyz"})

# Seconds after which a client may try again while values are missing.
RETRY_AFTER = "5"


class Guard:
    """An ASGI application in front of `app`. It reads headers only, never the body of a refused request."""

    def __init__(self, app: ASGIApp, options: HttpOptions, tokens: BearerTokens) -> None:
        self._app, self._names, self._tokens = app, options.names, tokens
        self._is_loopback = options.address.is_loopback
        self._refusals = Refusals()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refuse(scope)
        if not refused and scope["path"] not in OPEN:
            admit(scope)
        await (refused or self._app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:  # noqa: PLR0911 - one for each check
        headers, is_http10 = Headers(scope=scope), scope["http_version"] == "1.0"
        if "transfer-encoding" in headers and ("content-length" in headers or is_http10):
            # RFC 9112, section 6.1: a proxy may see another end of the body, and another request after it.
            self._refusals.log("its body has two lengths", scope)
            return PlainTextResponse("Bad Request\n", 400, {"Connection": "close"})
        is_plain_probe = scope["path"] in OPEN and is_http10 and "host" not in headers
        if not is_plain_probe and not self._names.host(headers.get("host")):
            self._refusals.log("its Host is none of ours (--allowed-host, MCP_ALLOWED_HOSTS)", scope)
            return PlainTextResponse("Misdirected Request\n", 421)
        if not self._names.origin(headers.get("origin"), headers.get("host")):
            self._refusals.log("its Origin is none of ours (--allowed-host, MCP_ALLOWED_HOSTS)", scope)
            return PlainTextResponse("Forbidden\n", 403)
        if not self._needs_token(scope["path"]):
            return None
        if not self._tokens.any:  # outside loopback, while its first value is missing
            return PlainTextResponse("Service Unavailable\n", 503, {"Retry-After": RETRY_AFTER})
        if not self._tokens.accept(headers.get("authorization")):
            self._refusals.log("it has no token, or one that is not (or no longer) right", scope)
            return PlainTextResponse("Unauthorized\n", 401, {"WWW-Authenticate": "Bearer"})
        return None

    def _needs_token(self, path: str) -> bool:
        if path in OPEN:
            return False
        if self._is_loopback:
            return self._tokens.any and path != "/metrics"
        return True


class Refusals:
    """Logs the first refused request, then one every LOG_EVERY seconds with the number of those between."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._throttle = LogThrottle(clock)

    def log(self, reason: str, scope: Scope) -> None:
        """Log the peer's address and the reason. A path, a query or a header may have a secret."""
        if (more := self._throttle.due()) is not None:
            peer = (scope.get("client") or ("an unknown peer",))[0]
            log.warning("A request of %s was refused: %s.%s", peer, reason, more)
