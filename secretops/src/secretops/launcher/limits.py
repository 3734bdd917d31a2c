"""Limits of the HTTP server on connections, time for a request, size of a body, and log lines.

uvicorn 0.54 has only a limit on requests under way, beyond which it refuses everybody.
"""

from __future__ import annotations

import asyncio
import logging
import resource
import socket
import time
from collections import defaultdict
from collections.abc import Callable, Collection
from typing import Any

import anyio
from starlette.types import Message, Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

# Each connection takes some 20 KB, and up to 64 KB with an incomplete head.
MOST_CONNECTIONS = 256

# Descriptors for MQTT clients, the source's files and the logs. The process itself has about 30 open.
RESERVED_DESCRIPTORS = 96

# Seconds of silence after which a connection may be closed for a new one. A client sends the head at once.
SILENT_SECONDS = 0.5

# Seconds to wait when the system has no descriptor or no memory for a connection.
EXHAUSTED_SECONDS = 1.0

# Seconds for the head of an admitted request, from the connection or the last response on, and for a body.
HEAD_SECONDS, BODY_SECONDS = 10.0, 30.0

# MCP's messages are a few KB; mcp's own limit is the same.
MOST_BODY_BYTES = 4 * 1024 * 1024

# Seconds between two log lines of one kind that a client can cause.
LOG_EVERY = 10


def most_connections() -> int:
    """Return MOST_CONNECTIONS, or what the process's limit on descriptors allows."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MOST_CONNECTIONS
    return max(16, min(MOST_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS))


def admit(scope: Scope) -> None:
    """Mark a request that has passed all checks: its connection stays open until the response is complete."""
    scope.setdefault("state", {})["admitted"] = True


class LimitedProtocol(H11Protocol):
    """A connection that records since when it waits for a request."""

    since = 0.0
    admitted_before = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        self.since = time.monotonic()
        super().connection_made(transport)

    def on_response_complete(self) -> None:
        self.since = time.monotonic()
        self.admitted_before = self.admitted_before or self._is_admitted()
        super().on_response_complete()

    def waits(self) -> bool:
        """Return whether no admitted request is under way."""
        return self.cycle is None or self.cycle.response_complete or not self._is_admitted()

    def close_now(self) -> None:
        self.connections.discard(self)
        self.transport.abort()

    def _is_admitted(self) -> bool:
        return bool(self.cycle.scope["state"].get("admitted"))


async def accept(
    listener: socket.socket, connections: Collection[Any], make: Callable[[], LimitedProtocol], most: int
) -> None:
    """Accept connections from `listener` while there are fewer than `most`.

    asyncio's own loop accepts without a limit, and at EMFILE logs each attempt of its backlog.
    """
    loop, full, exhausted = asyncio.get_running_loop(), LogThrottle(), LogThrottle()
    listener.setblocking(False)
    while True:
        while len(connections) >= most:
            if (more := full.due()) is not None:
                log.warning(
                    "All %s connections are in use: silent ones are closed. -> Limit clients, or raise `ulimit -n`.%s",
                    most,
                    more,
                )
            if not _close_longest_silent(connections):
                await asyncio.sleep(SILENT_SECONDS / 10)
        try:
            accepted, _ = await loop.sock_accept(listener)
        except ConnectionAbortedError:
            continue
        except OSError as error:
            if (more := exhausted.due()) is not None:
                log.warning(
                    "No connection can be accepted: %s. Trying again. -> Raise `ulimit -n`.%s", error.strerror, more
                )
            await asyncio.sleep(EXHAUSTED_SECONDS)
            continue
        try:
            await loop.connect_accepted_socket(make, accepted)
        except OSError:  # it has gone
            accepted.close()


def _close_longest_silent(connections: Collection[Any]) -> bool:
    """Close the connection with the longest silence, strangers' first. Return False without a silent one."""
    waiting = [each for each in connections if each.waits() and time.monotonic() - each.since >= SILENT_SECONDS]
    if waiting:
        min(waiting, key=lambda each: (each.admitted_before, each.since)).close_now()
    return bool(waiting)


def close_overdue(connections: Collection[Any]) -> None:
    """Close the connections that have not sent a request for HEAD_SECONDS."""
    oldest = time.monotonic() - HEAD_SECONDS
    for each in list(connections):
        if each.waits() and each.since < oldest:
            each.close_now()


class BodyError(Exception):
    """A body is not read. `status` is the response's; None when the client has gone."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


async def with_body(scope: Scope, receive: Receive) -> Receive:
    """Read the body of a request, and return a Receive that begins with it. Raises BodyError."""
    for name, text in scope["headers"]:
        if name == b"content-length" and int(text) > MOST_BODY_BYTES:
            raise BodyError(413)
    body, more = bytearray(), True
    try:
        with anyio.fail_after(BODY_SECONDS):
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise BodyError(None)
                body += message.get("body", b"")
                more = message.get("more_body", False)
                if len(body) > MOST_BODY_BYTES:
                    raise BodyError(413)
    except TimeoutError:
        raise BodyError(408) from None
    whole: list[Message] = [{"type": "http.request", "body": bytes(body)}]

    async def received() -> Message:
        return whole.pop() if whole else await receive()

    return received


class LogThrottle:
    """Allows the first log line, then one every LOG_EVERY seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")
        self._silent = 0

    def due(self) -> str | None:
        """Return None to omit a line, else a text for its end: the number of omitted lines, or ""."""
        now = self._clock()
        if now - self._last < LOG_EVERY:
            self._silent += 1
            return None
        more = f" {self._silent} more before it were not logged." if self._silent else ""
        self._last, self._silent = now, 0
        return more


class FloodFilter(logging.Filter):
    """Limits the log lines that strangers can cause to one every LOG_EVERY seconds."""

    KINDS = (
        "Invalid HTTP request received.",
        "Unsupported upgrade request.",
        "No supported WebSocket library",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._throttles: dict[str, LogThrottle] = defaultdict(lambda: LogThrottle(clock))

    def filter(self, record: logging.LogRecord) -> bool:
        kind = next((each for each in self.KINDS if str(record.msg).startswith(each)), None)
        if kind is None:
            return True
        more = self._throttles[kind].due()
        if more:
            record.msg = f"{record.msg}{more}"
        return more is not None
