"""MCP over HTTP: bearer token, checked host names, health, metrics and a bounded shutdown.

    /sse, /messages/   transport sse         /healthz   200 while the process answers
    /mcp               transport http        /readyz    200, or 503 and a JSON body with what is missing
                                             /metrics   Prometheus

It has no TLS: outside of one machine or one cluster's network, use a proxy with TLS.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from starlette.applications import Starlette
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from secretops.errors import UsageError
from secretops.launcher.drain import CallsUnderWay, DrainingServer
from secretops.launcher.http_options import Address, BearerTokens, HttpOptions, Transport
from secretops.launcher.limits import BodyError, FloodFilter, admit, with_body
from secretops.launcher.state import Event, LauncherState
from secretops.launcher.stdio import handle_signals

if TYPE_CHECKING:
    from mcp.server.fastmcp import FastMCP

log = logging.getLogger(__name__)

_VERBOSE = frozenset({"mcp", "sse_starlette"})

# Maximum seconds that a blocking tool may delay the disconnect from the broker.
_BLOCKED_SECONDS = 0.5

# Text format that every Prometheus reads.
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"

# Routes that need no token: a platform's probes have none.
OPEN = frozenset({"/healthz", "/readyz"})

# Seconds after which a client should try again while values are missing.
RETRY_AFTER = "5"


def serve(
    options: HttpOptions,
    *,
    tokens: BearerTokens,
    state: LauncherState,
    start: Callable[[], FastMCP | None],
    stop: Callable[[], None],
) -> None:
    """Serve health endpoints at once, and MCP once `start` returns the server, until a signal.

    `start` runs in the server's thread and may wait; `stop` makes it return None. Raises what `start` raised, and
    UsageError for an unavailable address.
    """
    floods = FloodFilter()
    for handler in logging.getLogger().handlers:
        handler.addFilter(_is_worth_logging)
        handler.addFilter(floods)
    service = Service(options, tokens, state, start)
    with _listener(options.address) as listener:
        server = DrainingServer(service.app(), service.calls, on_signal=stop)
        service.end = server.end
        address = Address(*listener.getsockname()[:2])
        log.info("Listening on http://%s, transport %s.", address, options.transport)
        service.mcp.start()
        try:
            with handle_signals(server.handle_exit):  # uvicorn handles no SIGHUP
                server.run(sockets=[listener])
        finally:
            stop()
            service.mcp.stop(_BLOCKED_SECONDS)
    if service.mcp.failure:
        raise service.mcp.failure


class Guard:
    """Middleware that checks framing, Host, Origin and token of a request before `app` receives it. Never reads a
    body."""

    def __init__(self, app: ASGIApp, options: HttpOptions, tokens: BearerTokens) -> None:
        self._app, self._names, self._tokens = app, options.names, tokens
        self._is_loopback = options.address.is_loopback

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refused = self._refuse(scope)
        if not refused and scope["path"] not in OPEN:
            admit(scope)
        await (refused or self._app)(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:  # noqa: PLR0911 - one for each check
        headers, is_http10 = Headers(scope=scope), scope["http_version"] == "1.0"
        if "transfer-encoding" in headers and ("content-length" in headers or is_http10):
            # RFC 9112, section 6.1: a proxy may see another end of this body, and another request after it.
            return _refused(scope, "its body has two lengths", 400, {"Connection": "close"})
        is_plain_probe = scope["path"] in OPEN and is_http10 and "host" not in headers
        if not is_plain_probe and not self._names.host(headers.get("host")):
            return _refused(scope, "unknown Host; allow it by --allowed-host or MCP_ALLOWED_HOSTS", 421)
        if not self._names.origin(headers.get("origin"), headers.get("host")):
            return _refused(scope, "unknown Origin; allow it by --allowed-host or MCP_ALLOWED_HOSTS", 403)
        if not self._needs_token(scope["path"]):
            return None
        if not self._tokens.any:  # the server is reachable outside loopback, and its first token is missing
            return PlainTextResponse("Service Unavailable\n", 503, {"Retry-After": RETRY_AFTER})
        if not self._tokens.accept(headers.get("authorization")):
            return _refused(scope, "no valid bearer token", 401, {"WWW-Authenticate": "Bearer"})
        return None

    def _needs_token(self, path: str) -> bool:
        if path in OPEN:
            return False
        if self._is_loopback:
            return self._tokens.any and path != "/metrics"
        return True


def _refused(scope: Scope, reason: str, status: int, headers: dict[str, str] | None = None) -> Response:
    # Logs only peer and reason, because path, query and headers may contain secrets.
    peer = (scope.get("client") or ("an unknown peer",))[0]
    log.warning("Request refused, from %s: %s.", peer, reason)
    return PlainTextResponse(f"{HTTPStatus(status).phrase}\n", status, headers)


class Service:
    def __init__(
        self, options: HttpOptions, tokens: BearerTokens, state: LauncherState, start: Callable[[], FastMCP | None]
    ) -> None:
        self._options, self._tokens, self._state, self._start = options, tokens, state, start
        self.calls = CallsUnderWay()
        self.end: Callable[[], None] = lambda: None
        self.mcp = McpThread(self._start_mcp, on_failure=lambda: self.end())  # noqa: PLW0108 - `end` is set later

    def app(self) -> ASGIApp:
        routes = [
            Route("/healthz", self._healthz),
            Route("/readyz", self._readyz),
            Route("/metrics", self._metrics),
            Mount("/", self._mcp_or_wait),
        ]
        return Guard(Starlette(routes=routes), self._options, self._tokens)

    def _start_mcp(self) -> Starlette | None:
        mcp = self._start()
        if mcp is None:
            return None
        self.calls.watch(mcp)
        mcp.settings.transport_security = None  # mcp's own check allows only localhost; Guard checks names
        return mcp.sse_app() if self._options.transport is Transport.SSE else mcp.streamable_http_app()

    async def _mcp_or_wait(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self.mcp.serves or self.calls.draining:
            await self._unavailable()(scope, receive, send)
            return
        if scope["path"] == "/mcp/":  # starlette would redirect, with the wrong scheme behind a proxy
            scope = {**scope, "path": "/mcp"}
        response = _WholeResponse(send)
        try:
            with self.calls.posted() if scope["method"] == "POST" else contextlib.nullcontext():
                if scope["method"] == "POST":
                    receive = await with_body(scope, receive)
                await self.mcp(scope, receive, response.send)
                await response.complete()
        except BodyError as error:
            if error.status:
                await PlainTextResponse(f"{HTTPStatus(error.status).phrase}\n", error.status)(scope, receive, send)
        except asyncio.CancelledError:
            if not self.calls.draining:
                raise
            if response.begun:
                await response.complete()
            else:
                await self._unavailable()(scope, receive, send)

    def _unavailable(self) -> Response:
        headers = {"Retry-After": RETRY_AFTER} | ({"Connection": "close"} if self.calls.draining else {})
        return JSONResponse(self._readiness(), 503, headers)

    async def _healthz(self, _request: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def _readyz(self, _request: Request) -> Response:
        readiness = self._readiness()
        return JSONResponse(readiness, 200 if readiness["ready"] else 503)

    async def _metrics(self, _request: Request) -> Response:
        registry = CollectorRegistry()
        registry.register(_StateCollector(self._state))
        return Response(generate_latest(registry), media_type=_METRICS_TYPE)

    def _readiness(self) -> dict[str, object]:
        # Only names of secrets and states, because /readyz needs no token.
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


class _StateCollector(Collector):
    """Metrics, labeled by names of secrets and ids of versions, never by values or users."""

    def __init__(self, state: LauncherState) -> None:
        self._state = state

    def collect(self) -> Iterator[Metric]:
        state = self._state
        versions = InfoMetricFamily("secretops_secret", "The version in use of a secret.", labels=["secret"])
        for secret, version in sorted(state.versions_in_use().items()):
            versions.add_metric([secret], {"version": version})
        yield versions
        by_tool = state.connection_by_tool()
        for name, text, number in (
            ("waiting", "Secrets without a first value.", len(state.waiting_for)),
            ("broker_connected", "1 if the server is connected to its broker, else 0.", state.connected),
            ("connection_by_tool", "1 if an MCP client's tool chose the connection, else 0.", by_tool),
            ("following", "1 if the source is polled, else 0.", state.is_followed()),
            ("last_poll_timestamp_seconds", "When the source was last read without an error.", state.read_at),
        ):
            yield GaugeMetricFamily(f"secretops_{name}", text, value=number)
        events: dict[Event, str] = {
            "swaps": "MQTT clients replaced for a new version.",
            "refused_versions": "Versions that failed; the former version stayed in use.",
            "refused_publishes": "Messages of the server that the broker refused.",
            "failed_connects": "Connection attempts that the broker refused or did not answer.",
        }
        for event, text in events.items():
            yield CounterMetricFamily(f"secretops_{event}", text, value=state.counts[event])
        if state.expires_at:
            yield GaugeMetricFamily(
                "secretops_client_certificate_expiry_seconds",
                "Seconds until the client certificate in use expires; negative once it has expired.",
                value=(state.expires_at - datetime.now(UTC)).total_seconds(),
            )


class McpThread:
    """Runs the MCP app on its own thread and event loop, because the server's tools block.

    `start` returns the server, or None to stop, and may wait. If it raises, the exception becomes `failure`, and
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
        return self._serving is not None

    def start(self) -> None:
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Stop the app. Waits up to `seconds` for a blocking tool; if `start` has not returned yet, waits for it
        without a limit."""
        self._stopping = True
        if serving := self._serving:
            _, loop, ended = serving
            loop.call_soon_threadsafe(ended.set)
        self._thread.join(seconds if serving else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Call the app on its own loop, and `receive` and `send` on the caller's."""
        if self._serving is None:
            raise RuntimeError("called before it serves")
        app, loop, _ = self._serving
        here = asyncio.get_running_loop()
        await _on(loop, app)(scope, _on(here, receive), _on(here, send))

    def _run(self) -> None:
        try:
            if app := self._start():
                asyncio.run(self._serve(app))
        except Exception as error:  # `serve` raises it
            self.failure = error
            self._serving = None  # the app's loop is closed
            self._on_failure()

    async def _serve(self, app: Starlette) -> None:
        ended = asyncio.Event()
        lifespan: AbstractAsyncContextManager[Any] = app.router.lifespan_context(app)
        async with lifespan:
            self._serving = app, asyncio.get_running_loop(), ended
            if not self._stopping:  # false if `stop` was called before `_serving` was set
                await ended.wait()


def _on(loop: asyncio.AbstractEventLoop, function: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    """Return a function that callers on other loops can await, and that runs `function` on `loop`. Cancelling the call
    cancels it there, too."""

    async def called(*arguments: Any) -> Any:
        async def there() -> Any:
            return await function(*arguments)

        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(there(), loop))

    return called


def _is_worth_logging(record: logging.LogRecord) -> bool:
    # DEBUG records contain messages. mcp logs tracebacks of closed streams.
    if record.name.partition(".")[0] not in _VERBOSE:
        return True
    return record.levelno >= logging.INFO and "ClosedResourceError" not in (record.exc_text or "")


class _WholeResponse:
    """Completes the response of an aborted stream, because sse-starlette does not end it, and mcp starts a second
    response."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.begun = self._over = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
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
    both = address.host == "::" and socket.has_dualstack_ipv6()  # `::` listens on every IPv4 address, too
    try:
        return socket.create_server((address.host, address.port), family=family, backlog=512, dualstack_ipv6=both)
    except OSError as error:
        raise UsageError(
            f"--listen {address}: {error.strerror}",
            rule="the address must belong to this machine, and the port must be free",
            remedy=f"choose another port, or stop the process that uses it: ss -ltnp 'sport = :{address.port}'",
            code="listen-address-unavailable",
        ) from error
