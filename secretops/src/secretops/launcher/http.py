"""The server's MCP app over HTTP, as it is, behind what it lacks: a token, checked names, health, and an end in time.

    /sse, /messages/   transport sse         /healthz   200 while the process answers
    /mcp               transport http        /readyz    200, or 503 and a JSON body that says what is waited for
                                             /metrics   Prometheus

There is no TLS here: outside one machine or one cluster's network it belongs behind a proxy that has it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Callable
from http import HTTPStatus
from typing import TYPE_CHECKING

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
from secretops.launcher.limits import BodyError, FloodFilter, with_body
from secretops.launcher.listening import Address, Listening, Transport
from secretops.launcher.mcp_thread import McpThread
from secretops.launcher.state import LauncherState

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

_CHATTY = frozenset({"mcp", "sse_starlette"})

# How long a tool that blocks keeps the process from saying goodbye to the broker. Its last will does it then.
_BLOCKED_SECONDS = 0.5


def serve(
    listening: Listening,
    *,
    tokens: BearerTokens,
    state: LauncherState,
    start: Callable[[], FastMCP | None],
    stop: Callable[[], None],
) -> None:
    """Answer health at once, MCP once `start` has returned the server; until SIGTERM or SIGINT.

    `start` runs in a thread of its own, as does the server that it returns. It may wait for values; `stop` makes it
    give up, with None. What it raises ends the process. Raises UsageError when the address cannot be listened on.
    """
    floods = FloodFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_worth_telling)
        handler.addFilter(floods)
    service = Service(listening, tokens, state, start)
    with _listener(listening.address) as listener:
        server = DrainingServer(service.app(), service.calls, on_signal=stop)
        service.end = server.end
        log.info("Listening on http://%s, transport %s.", _told(listener), listening.transport)
        service.mcp.start()
        try:
            server.run(sockets=[listener])
        finally:
            stop()
            service.mcp.stop(_BLOCKED_SECONDS)
    if service.mcp.failure:
        raise service.mcp.failure


class Service:
    """The ASGI application: health and metrics of the launcher, and the MCP app once there is one."""

    def __init__(
        self, listening: Listening, tokens: BearerTokens, state: LauncherState, start: Callable[[], FastMCP | None]
    ) -> None:
        self._listening, self._tokens, self._state, self._start = listening, tokens, state, start
        self.calls = CallsUnderWay()
        self.end: Callable[[], None] = lambda: None
        self.mcp = McpThread(self._start_mcp, on_failure=lambda: self.end())  # noqa: PLW0108 - `end` is set later

    def app(self) -> ASGIApp:
        """All routes, each behind the checks of `guard`."""
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Mount("/", self._mcp_or_wait),
        ]
        return Guard(
            Starlette(routes=routes),
            names=self._listening.names,
            tokens=self._tokens,
            is_loopback=self._listening.address.is_loopback,
        )

    def _start_mcp(self) -> Starlette | None:
        mcp = self._start()
        if mcp is None:
            return None
        self.calls.watch(mcp)
        mcp.settings.transport_security = None  # mcp from 1.23 on; its names are localhost's alone, ours are in Guard
        return mcp.sse_app() if self._listening.transport is Transport.SSE else mcp.streamable_http_app()

    async def _mcp_or_wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.mcp.serves or self.calls.draining:
            await self._unavailable()(scope, receive, send)
            return
        if scope["path"] == "/mcp/":  # else starlette redirects to the URL without, by a scheme that a proxy hides
            scope = {**scope, "path": "/mcp"}
        answer = _Answer(send)
        try:
            with self.calls.posted() if scope["method"] == "POST" else contextlib.nullcontext():
                if scope["method"] == "POST":
                    receive = await with_body(scope, receive)
                await self.mcp(scope, receive, answer.send)
                await answer.complete()
        except BodyError as error:
            if error.status:
                await PlainTextResponse(f"{HTTPStatus(error.status).phrase}\n", error.status)(scope, receive, send)
        except asyncio.CancelledError:
            if not self.calls.draining:
                raise
            if answer.begun:
                await answer.complete()
            else:
                await self._unavailable()(scope, receive, send)

    def _unavailable(self) -> Response:
        headers = {"Retry-After": RETRY_AFTER} | ({"Connection": "close"} if self.calls.draining else {})
        return JSONResponse(self._standing(), 503, headers)

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
        connected, following = self._state.connected, self._state.is_followed()
        ready = not waiting and self.mcp.serves and connected and following and not self.calls.draining
        return {
            "ready": ready,
            "waiting_for": waiting,
            "broker": "connected" if connected else "not connected",
            "following": following,
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
        self.begun = self._over = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if self.begun:
                await self.complete()
            self.begun = True
        if not self._over:
            self._over = message["type"] == "http.response.body" and not message.get("more_body", False)
            await self._send(message)

    async def complete(self) -> None:
        if self.begun and not self._over:
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
