"""An HTTP server with a bounded shutdown: refuse new calls, finish open ones, then close every stream."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future
from types import FrameType
from typing import TYPE_CHECKING, Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from secretops.errors import SecretopsError
from secretops.launcher import limits
from secretops.launcher.stdio import set_exit_deadline

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

# Seconds after the signal: for open calls, then for open streams (sse-starlette polls every half second), and for the
# responses of cancelled calls.
CALL_SECONDS, STREAM_SECONDS, ANSWER_SECONDS = 3, 1, 0.2

# Seconds between two polls, and the number of consecutive polls without a call after which the server is drained. A
# POST becomes a call some turns of the event loop later, and a response is sent some turns after its handler returned.
_TURN, _QUIET_TURNS = 0.01, 10


class CallsUnderWay:
    """MCP calls in progress, without idle streams. Their handlers run on another thread's event loop."""

    def __init__(self) -> None:
        self._open: dict[anyio.CancelScope, asyncio.AbstractEventLoop] = {}
        self._posted = 0
        self._given_up = False
        self.draining = False

    @contextlib.contextmanager
    def posted(self) -> Iterator[None]:
        """Count a POST as open until its call is answered, or over SSE, until the session has received its message."""
        self._posted += 1
        try:
            yield
        finally:
            self._posted -= 1

    def watch(self, mcp: FastMCP) -> None:
        """Track every MCP request, because over SSE no HTTP request is open during a call."""
        handlers = mcp._mcp_server.request_handlers
        for kind, handler in handlers.items():
            handlers[kind] = self._tracked(handler)

    def _tracked(self, handler: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def tracked(*arguments: Any) -> Any:
            with anyio.CancelScope() as scope:
                self._open[scope] = asyncio.get_running_loop()
                if self._given_up:
                    scope.cancel()
                try:
                    return await handler(*arguments)
                finally:
                    del self._open[scope]
            raise SecretopsError("the server is shutting down", remedy="repeat the call", code="server-shutting-down")

        return tracked

    async def drain(self) -> None:
        """Refuse new calls, wait for open ones, and cancel those that take more than CALL_SECONDS."""
        self.draining = True
        with anyio.move_on_after(CALL_SECONDS):
            await self._quiet()
            return
        log.warning("Calls cancelled after %s s: %s.", CALL_SECONDS, max(len(self._open), self._posted))
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
    """A uvicorn server with limits and a bounded shutdown. After a second signal, it does not wait for calls."""

    def __init__(self, app: ASGIApp, calls: CallsUnderWay, on_signal: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",
                http=limits.LimitedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,  # its records go to the root logger, which redacts them
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=STREAM_SECONDS,
            )
        )
        self._calls, self._on_signal = calls, on_signal
        self._loop: asyncio.AbstractEventLoop | None = None
        self._draining: Future[None] | None = None
        self._accepting: list[asyncio.Future[None]] = []
        self._listeners: list[socket.socket] = []
        self._signalled = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup([])
        self._listeners = sockets or []
        for listener in self._listeners:
            connections, most = self.server_state.connections, limits.max_connections()
            accepting = limits.accept(listener, connections, self._protocol, most)
            self._accepting.append(asyncio.ensure_future(accepting))

    def _protocol(self) -> limits.LimitedProtocol:
        return limits.LimitedProtocol(self.config, self.server_state, {}, self._loop)

    async def on_tick(self, counter: int) -> bool:
        """Close overdue connections once a second; uvicorn calls this ten times a second."""
        if counter % 10 == 0:
            limits.close_overdue(self.server_state.connections)
        return await super().on_tick(counter)

    def end(self) -> None:
        """End the server without waiting for open calls. Thread-safe."""
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002
        """Drain, then exit with code 0. uvicorn's own handler would raise the signal again."""
        if self._loop is None or self._signalled:
            self.end()
            return
        self._signalled = True
        set_exit_deadline()
        self._draining = asyncio.run_coroutine_threadsafe(self._drain(), self._loop)

    async def _drain(self) -> None:
        self._on_signal()
        for accepting in self._accepting:
            accepting.cancel()
        await asyncio.wait(self._accepting)
        for listener in self._listeners:
            listener.close()
        await self._calls.drain()
        self.end()
