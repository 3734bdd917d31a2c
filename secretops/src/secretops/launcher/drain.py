"""An HTTP server that ends in time: no new calls, the answers of those under way, then every stream, then the process.

Left alone, uvicorn waits for open streams without end, and sse-starlette cuts them with the calls that they answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from secretops.errors import SecretopsError
from secretops.launcher import limits
from secretops.launcher.deadline import end_at_last

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

CALL_SECONDS = 3
"""How long a call under way may still take after the signal."""

STREAM_SECONDS = 1
"""How long streams may take to end after that; sse-starlette looks every half second."""

ANSWER_SECONDS = 0.2
"""How long the answers of calls that were given up may take."""

_TURN, _QUIET_TURNS = 0.01, 10
"""Seconds between two looks, and how often in a row nothing is to be seen before it is over: what was posted becomes a
call some turns of the event loop later, and an answer is on the wire some turns after its handler returned."""


class CallsUnderWay:
    """The requests of MCP clients that the server is at. A stream that is only open is none.

    Those that `watch` knows of run on another thread's event loop.
    """

    def __init__(self) -> None:
        self._open: dict[anyio.CancelScope, asyncio.AbstractEventLoop] = {}
        self._posted = 0
        self._given_up = False
        self.draining = False

    @contextlib.contextmanager
    def posted(self) -> Iterator[None]:
        """A POST while it lasts: until its call is answered, or over SSE until it is handed on."""
        self._posted += 1
        try:
            yield
        finally:
            self._posted -= 1

    def watch(self, mcp: FastMCP) -> None:
        """Know of every request that `mcp` handles. Over SSE no HTTP request is open meanwhile, so here, too."""
        handlers = mcp._mcp_server.request_handlers
        for kind, handler in handlers.items():
            handlers[kind] = self._known(handler)

    def _known(self, handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def known(*arguments: Any) -> Any:
            with anyio.CancelScope() as scope:
                self._open[scope] = asyncio.get_running_loop()
                if self._given_up:
                    scope.cancel()
                try:
                    return await handler(*arguments)
                finally:
                    del self._open[scope]
            raise SecretopsError("the server ends, and gave this call up", remedy="call again")

        return known

    async def drain(self) -> None:
        """Let no new call in; return when each is answered. One that takes more than CALL_SECONDS is told so."""
        self.draining = True
        with anyio.move_on_after(CALL_SECONDS):
            await self._quiet()
            return
        log.warning("Calls given up after %s s: %s.", CALL_SECONDS, max(len(self._open), self._posted))
        self._given_up = True
        for scope, loop in list(self._open.items()):
            loop.call_soon_threadsafe(scope.cancel)
        with anyio.move_on_after(ANSWER_SECONDS):
            await self._quiet()

    async def _quiet(self) -> None:
        turns = 0
        while turns < _QUIET_TURNS:
            await anyio.sleep(_TURN)
            turns = 0 if self._open or self._posted else turns + 1


class DrainingServer(uvicorn.Server):
    """uvicorn with limits, its log in ours, and an end in time on SIGTERM or SIGINT; a second signal hurries it."""

    def __init__(self, app: ASGIApp, calls: CallsUnderWay, on_signal: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=limits.LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,  # its loggers hand on to the root's, whose records are redacted
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=STREAM_SECONDS,
            )
        )
        self._calls, self._on_signal = calls, on_signal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: asyncio.Task[None] | None = None
        self._accepting: list[asyncio.Future[None]] = []
        self._listeners: list[socket.socket] = []
        self._signalled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup([])
        self._listeners = sockets or []
        for listener in self._listeners:
            accepting = limits.accept(
                listener, self.server_state.connections, self._protocol, limits.most_connections()
            )
            self._accepting.append(asyncio.ensure_future(accepting))

    def _protocol(self) -> limits.LimitedProtocol:
        return limits.LimitedProtocol(self.config, self.server_state, {}, self._loop)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second."""
        if counter % 10 == 0:
            limits.close_overdue(self.server_state.connections)
        return await super().on_tick(counter)

    def end(self) -> None:
        """Stop without waiting for calls under way. Of any thread."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """In place of uvicorn's, which ends by the same signal once more: an end that was asked for is a success."""
        if self._loop is None or self._signalled:
            self.end()
            return
        self._signalled = True
        end_at_last()
        self._loop.call_soon_threadsafe(self._begin)

    def _begin(self) -> None:
        self._draining = asyncio.ensure_future(self._drain())

    async def _drain(self) -> None:
        self._on_signal()
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.wait(self._accepting)
        for listener in self._listeners:
            listener.close()
        await self._calls.drain()
        self.end()
