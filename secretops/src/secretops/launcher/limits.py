"""The HTTP server's limits on connections, request time, body size, and log lines.

uvicorn 0.54 limits only concurrent requests, and refuses every client beyond that.
"""

from __future__ import annotations

import asyncio
import logging
import math
import resource
import socket
import time
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import anyio
from starlette.types import Message, Receive, Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

log = logging.getLogger(__name__)

# Each connection takes some 20 KB, and up to 64 KB with an incomplete head.
MAX_CONNECTIONS = 256

# Descriptors for MQTT clients, the source's files and the logs. The process itself has about 30 open.
RESERVED_DESCRIPTORS = 96

# Seconds of silence after which a connection may be closed for a new one. A client sends the head at once.
SILENT_SECONDS = 0.5

# Seconds to wait when the system has no descriptor or no memory for a connection.
EXHAUSTED_SECONDS = 1.0

# Seconds in which a connection must send the head of a valid request, counted from its start or its last response; and
# seconds for the request's body.
HEAD_SECONDS, BODY_SECONDS = 10.0, 30.0

# MCP's messages are a few KB; mcp's own limit is the same.
MAX_BODY_BYTES = 4 * 1024 * 1024

# Seconds between two log lines of one kind that a client can cause.
LOG_EVERY = 10


def max_connections() -> int:
    """Return MAX_CONNECTIONS, or fewer if the process may open too few descriptors."""
    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if descriptors == resource.RLIM_INFINITY:
        return MAX_CONNECTIONS
    return max(16, min(MAX_CONNECTIONS, descriptors - RESERVED_DESCRIPTORS))


def admit(scope: Scope) -> None:
    """Mark a request that passed all checks: its connection stays open until the response is complete."""
    scope.setdefault("state", {})["admitted"] = True


class LimitedProtocol(H11Protocol):
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
        return self.cycle is None or self.cycle.response_complete or not self._is_admitted()

    def close_now(self) -> None:
        self.connections.discard(self)
        self.transport.abort()

    def _is_admitted(self) -> bool:
        return bool(self.cycle.scope["state"].get("admitted"))


async def accept(
    listener: socket.socket, connections: Collection[Any], make: Callable[[], LimitedProtocol], most: int
) -> None:
    """Accept connections while there are fewer than `most`. asyncio's own loop has no limit, and logs every EMFILE."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        while len(connections) >= most:
            log.warning("All connections (%s) are in use; closing silent ones. -> raise ulimit -n", most)
            if not _close_longest_silent(connections):
                await asyncio.sleep(SILENT_SECONDS / 10)
        try:
            accepted, _ = await loop.sock_accept(listener)
        except ConnectionAbortedError:
            continue
        except OSError as error:
            log.warning("Cannot accept a connection: %s. Retrying. -> raise ulimit -n", error.strerror)
            await asyncio.sleep(EXHAUSTED_SECONDS)
            continue
        try:
            await loop.connect_accepted_socket(make, accepted)
        except OSError:  # the client has disconnected
            accepted.close()


def _close_longest_silent(connections: Collection[Any]) -> bool:
    """Close the connection that has been silent longest. One that never sent a valid token is closed first. Return
    False if none is silent."""
    waiting = [each for each in connections if each.waits() and time.monotonic() - each.since >= SILENT_SECONDS]
    if waiting:
        min(waiting, key=lambda each: (each.admitted_before, each.since)).close_now()
    return bool(waiting)


def close_overdue(connections: Collection[Any]) -> None:
    oldest = time.monotonic() - HEAD_SECONDS
    for each in list(connections):
        if each.waits() and each.since < oldest:
            each.close_now()


class BodyError(Exception):
    """A request's body was not read. `status` is the HTTP status to send, or None if the client has disconnected."""

    def __init__(self, status: int | None) -> None:
        super().__init__(status)
        self.status = status


async def with_body(scope: Scope, receive: Receive) -> Receive:
    """Read a request's body. Return a Receive that starts with this body. Raises BodyError."""
    for name, text in scope["headers"]:
        if name == b"content-length" and int(text) > MAX_BODY_BYTES:
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
                if len(body) > MAX_BODY_BYTES:
                    raise BodyError(413)
    except TimeoutError:
        raise BodyError(408) from None
    whole: list[Message] = [{"type": "http.request", "body": bytes(body)}]

    async def received() -> Message:
        return whole.pop() if whole else await receive()

    return received


class FloodFilter(logging.Filter):
    """Limits log lines that any client can cause: one of each kind every LOG_EVERY seconds."""

    KINDS = (
        *("Request refused", "All connections", "Cannot accept a connection"),
        *("Invalid HTTP request received.", "Unsupported upgrade request.", "No supported WebSocket library"),
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._last: dict[str, float] = {}
        self._omitted = Counter[str]()

    def filter(self, record: logging.LogRecord) -> bool:
        kind = next((each for each in self.KINDS if str(record.msg).startswith(each)), None)
        if kind is None:
            return True
        now = self._clock()
        if now - self._last.get(kind, -math.inf) < LOG_EVERY:
            self._omitted[kind] += 1
            return False
        self._last[kind] = now
        if omitted := self._omitted.pop(kind, 0):
            record.msg = f"{record.msg} (not logged: {omitted} more)"
        return True
