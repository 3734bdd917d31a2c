"""The server's MCP app on a thread and an event loop of its own.

Its tools are coroutines that block: `mqtt_read_topic_once` for as long as its caller says, `request_lot_code` for 30
seconds. Health, metrics, limits and the end do not wait for them on the loop that accepts connections.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send


class McpThread:
    """An ASGI application that runs another one on its own thread.

    `start` returns that one, or None when there is nothing to run; it may wait. What it raises is `failure`, and
    `on_failure` is called.
    """

    def __init__(self, start: Callable[[], Starlette | None], on_failure: Callable[[], None]) -> None:
        self._start, self._on_failure = start, on_failure
        self._thread = threading.Thread(target=self._run, name="mcp", daemon=True)
        self._serving: tuple[Starlette, asyncio.AbstractEventLoop, asyncio.Event] | None = None
        self._stopping = False
        self.failure: Exception | None = None

    @property
    def serves(self) -> bool:
        """Whether there is an app to call."""
        return self._serving is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """End the app, and wait `seconds` for a tool that blocks. What `start` has begun is waited for to its end."""
        self._stopping = True
        if serving := self._serving:
            _, loop, ended = serving
            loop.call_soon_threadsafe(ended.set)
        self._thread.join(seconds if serving else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app on its loop. What it receives and sends goes through the loop of the caller."""
        if self._serving is None:
            raise RuntimeError("called before it serves")
        app, loop, _ = self._serving
        here = asyncio.get_running_loop()
        await _on(loop, app)(scope, _on(here, receive), _on(here, send))

    def _run(self) -> None:
        try:
            if app := self._start():
                asyncio.run(self._serve(app))
        except Exception as error:  # `http.serve` raises it
            self.failure = error
            self._serving = None  # its loop is closed
            self._on_failure()

    async def _serve(self, app: Starlette) -> None:
        ended = asyncio.Event()
        lifespan: AbstractAsyncContextManager[Any] = app.router.lifespan_context(app)
        async with lifespan:
            self._serving = app, asyncio.get_running_loop(), ended
            if not self._stopping:  # `stop` has not seen that it serves
                await ended.wait()


def _on(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """`function` for callers on another loop. Cancelling a call cancels it there."""

    async def called(*arguments: Any) -> Any:
        async def there() -> Any:
            return await function(*arguments)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), loop))

    return called
