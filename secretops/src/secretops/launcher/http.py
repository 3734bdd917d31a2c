"""The server's MCP app over HTTP, as it is, behind what it lacks: a token, checked names, health, and an end in time.

    /sse, /messages/   transport sse         /healthz   200 while the process answers
    /mcp               transport http        /readyz    200, or 503 and a JSON body that says what is waited for
                                             /metrics   Prometheus

There is no TLS here: outside one machine or one cluster's network it belongs behind a proxy that has it.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secretops.errors import UsageError
from secretops.launcher import metrics
from secretops.launcher.drain import CallsUnderWay, DrainingServer
from secretops.launcher.guard import RETRY_AFTER, Guard
from secretops.launcher.http_token import BearerTokens
from secretops.launcher.listening import Address, Listening, Transport
from secretops.launcher.state import LauncherState

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

_CHATTY = frozenset({"mcp", "sse_starlette"})


def serve(
    listening: Listening,
    *,
    tokens: BearerTokens,
    state: LauncherState,
    start: Callable[[], FastMCP | None],
    stop: Callable[[], None],
) -> None:
    """Answer health at once, MCP once `start` has returned the server; until SIGTERM or SIGINT.

    `start` runs in a thread of its own and may wait for values; `stop` makes it give up, with None. What it raises
    ends the process. Raises UsageError when the address cannot be listened on.
    """
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_worth_telling)
    service = Service(listening, tokens, state, start)
    with _listener(listening.address) as listener:
        server = DrainingServer(service.app(), service.calls, on_signal=stop)
        service.end = server.end
        log.info("Listening on http://%s, transport %s.", _told(listener), listening.transport)
        try:
            server.run(sockets=[listener])
        finally:
            stop()
    if service.failure:
        raise service.failure


class Service:
    """The ASGI application: health and metrics of the launcher, and the MCP app once there is one."""

    def __init__(
        self, listening: Listening, tokens: BearerTokens, state: LauncherState, start: Callable[[], FastMCP | None]
    ) -> None:
        self._listening, self._tokens, self._state, self._start = listening, tokens, state, start
        self._mcp: ASGIApp | None = None
        self.calls = CallsUnderWay()
        self.failure: Exception | None = None
        self.end: Callable[[], None] = lambda: None

    def app(self) -> ASGIApp:
        """All routes, each behind the checks of `guard`."""
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Mount("/", self._mcp_or_wait),
        ]
        return Guard(
            Starlette(routes=routes, lifespan=self._lifespan),
            names=self._listening.names,
            tokens=self._tokens,
            is_loopback=self._listening.address.is_loopback,
        )

    @contextlib.asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(self._run_mcp)
            yield
            tasks.cancel_scope.cancel()

    async def _run_mcp(self) -> None:
        try:
            # Never abandoned: what it has begun when the end comes, a connection and threads, is for its caller to end.
            mcp = await anyio.to_thread.run_sync(self._start)
        except Exception as error:  # whoever called `serve` gets it
            self.failure = error
            self.end()
            return
        if mcp is None:
            return
        self.calls.watch(mcp)
        app = mcp.sse_app() if self._listening.transport is Transport.SSE else mcp.streamable_http_app()
        async with app.router.lifespan_context(app):
            self._mcp = app
            await anyio.sleep_forever()

    async def _mcp_or_wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._mcp is None or self.calls.draining:
            headers = {"Retry-After": RETRY_AFTER} | ({"Connection": "close"} if self.calls.draining else {})
            await JSONResponse(self._standing(), 503, headers)(scope, receive, send)
            return
        if scope["path"] == "/mcp":  # else starlette redirects to the URL with a slash, by a scheme that a proxy hides
            scope = {**scope, "path": "/mcp/"}
        answer = _Answer(send)
        with self.calls.posted() if scope["method"] == "POST" else contextlib.nullcontext():
            await self._mcp(scope, receive, answer.send)
            await answer.complete()

    async def _healthz(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _readyz(self, _request: Request) -> Response:
        standing = self._standing()
        return JSONResponse(standing, 200 if standing["ready"] else 503)

    async def _metrics(self, _request: Request) -> Response:
        return Response(metrics.page(self._state), media_type=metrics.CONTENT_TYPE)

    def _standing(self) -> dict[str, object]:
        """Names of secrets and states; never more, since no token is asked for."""
        waiting = list(self._state.waiting_for)
        ready = not waiting and self._mcp is not None and self._state.connected and not self.calls.draining
        return {
            "ready": ready,
            "waiting_for": waiting,
            "broker": "connected" if self._state.connected else "not connected",
            **({"ending": True} if self.calls.draining else {}),
        }


def _is_worth_telling(record: logging.LogRecord) -> bool:
    """Without the DEBUG records that repeat the bodies of requests and answers, and the traceback that mcp writes for
    each client that goes while its stream is open."""
    if record.name.partition(".")[0] not in _CHATTY:
        return True
    return record.levelno >= logging.INFO and "ClosedResourceError" not in (record.exc_text or "")


class _Answer:
    """One whole answer, also when its stream is cut at the end: sse-starlette leaves it without its last part, which a
    client takes for an error of the network, and mcp's SSE endpoint then begins a second one."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._begun = self._over = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self._begun:
                await self.complete()
            self._begun = True
        if not self._over:
            self._over = message["type"] == "http.response.body" and not message.get("more_body", False)
            await self._send(message)

    async def complete(self) -> None:
        if self._begun and not self._over:
            await self.send({"type": "http.response.body", "body": b"", "more_body": False})


def _listener(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    both = address.host == "::" and socket.has_dualstack_ipv6()  # every address is those of IPv4 too
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=512, dualstack_ipv6=both)
    except OSError as error:
        raise UsageError(
            f"--listen {address}: {error.strerror}",
            rule="it is an address of this machine, and a port that nothing else listens on",
            remedy="choose another, or stop what listens there",
        ) from error


def _told(listener: socket.socket) -> Address:
    host, port, *_ = listener.getsockname()
    return Address(host, port)
