"""MCP clients that call a service with several replicas, without pause, while its tasks are replaced.

The clients are the mcp package's. A stand-in for a user's reverse proxy sends each session to the same replica, and new
sessions only to a ready replica. A session whose replica ended gets a 404, as MCP requires; the client starts another
and repeats that call. Each accepted call must get a correct answer.
"""

from __future__ import annotations

import contextlib
import itertools
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta

import anyio
import anyio.to_thread
import httpx
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamablehttp_client
from mcp.types import TextContent

from tests.real.load import DEADLINE, OtherClient

CLIENTS = 4  # Two for each of two replicas.
LOOK_SECONDS = 0.1  # Seconds between two polls for a ready replica.
NAME = "http://coreflux-mcp.localhost"  # The URL of the clients; the proxy knows where it leads.
ENDED = "Session terminated"  # The error of mcp's client for a session whose server answers 404.


class Proxy(httpx.AsyncBaseTransport):
    """Forwards each request to the replica of its session."""

    def __init__(self, replicas: Callable[[], list[str]]) -> None:
        self._replicas = replicas
        self._turns = itertools.count()
        self._homes: dict[str, str] = {}
        # A separate transport: each client closes its transport at its end.
        self._onward = httpx.AsyncHTTPTransport()

    async def end(self) -> None:
        await self._onward.aclose()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        session = request.headers.get("mcp-session-id")
        if session is None:
            return await self._begin(request)
        try:
            answer = await self._hand_on(request, self._homes[session])
        except httpx.TransportError:
            return httpx.Response(404, request=request)  # it is gone, and did not answer
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            return answer
        await answer.aclose()  # it ends, and took no call
        return httpx.Response(404, request=request)

    async def _begin(self, request: httpx.Request) -> httpx.Response:
        """Start a session at a replica that accepts. A replica that is not ready answers 503. The replicas take turns
        to be tried first."""
        with anyio.fail_after(DEADLINE):
            while True:
                homes, turn = await anyio.to_thread.run_sync(self._replicas), next(self._turns)
                for home in (homes[(turn + number) % len(homes)] for number in range(len(homes))):
                    with contextlib.suppress(httpx.TransportError):
                        answer = await self._hand_on(request, home)
                        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                            self._homes[answer.headers.get("mcp-session-id", "")] = home
                            return answer
                        await answer.aclose()
                await anyio.sleep(LOOK_SECONDS)

    async def _hand_on(self, request: httpx.Request, home: str) -> httpx.Response:
        there = httpx.URL(home)
        headers = {**request.headers, "host": there.netloc.decode()}
        url = request.url.copy_with(host=there.host, port=there.port)
        onward = httpx.Request(
            request.method, url, headers=headers, stream=request.stream, extensions=request.extensions
        )
        return await self._onward.handle_async_request(onward)


@dataclass
class ReplicaLoad:
    """The results of calls by CLIENTS clients. Each publishes numbered messages, which `other` receives."""

    replicas: Callable[[], list[str]]  # URLs of the current tasks, ready or not.
    token: str = field(repr=False)
    other: OtherClient
    calls: int = 0
    sessions: int = 0
    failures: list[str] = field(default_factory=list)
    output: set[int] = field(default_factory=set)  # Numbers of the messages whose publishing was answered with success.
    answered: list[int] = field(default_factory=lambda: [0] * CLIENTS)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _stopping: bool = False

    async def run(self) -> None:
        proxy = Proxy(self.replicas)
        async with anyio.create_task_group() as tasks:
            for client in range(CLIENTS):
                tasks.start_soon(self._client, client, proxy)
        await proxy.end()

    def stop(self) -> None:
        self._stopping = True

    async def all_answered(self, times: int = 2) -> None:
        before = list(self.answered)
        with anyio.fail_after(DEADLINE):
            while any(now < had + times for now, had in zip(self.answered, before, strict=True)):
                await anyio.sleep(0.02)

    def lost(self) -> set[int]:
        return self.output - set(self.other.seen)

    def done_twice(self) -> list[int]:
        return [number for number, times in self.other.seen.items() if times > 1]

    async def _client(self, client: int, proxy: Proxy) -> None:
        number: int | None = None
        while number is not None or not self._stopping:
            async with self._session(proxy) as session:
                self.sessions += 1
                while number is not None or not self._stopping:
                    number = next(self._numbers) if number is None else number
                    if not await self._publish(session, client, number):
                        break
                    number = None

    async def _publish(self, session: ClientSession, client: int, number: int) -> bool:
        message = {"topic": f"said/{number}", "message": json.dumps({"n": number}), "qos": 1 + number % 2}
        try:
            answer = await session.call_tool("mqtt_publish", message)
        except McpError as error:
            if error.error.message == ENDED:
                return False
            self.calls += 1
            self.failures.append(f"{number}: {error}")
            return True
        self.calls += 1
        text = "\n".join(part.text for part in answer.content if isinstance(part, TextContent))
        if answer.isError or "ERROR" in text or "not connected" in text:
            self.failures.append(f"{number}: {text}")
        else:
            self.output.add(number)
            self.answered[client] += 1
        return True

    @asynccontextmanager
    async def _session(self, proxy: Proxy) -> AsyncIterator[ClientSession]:
        headers = {"Authorization": f"Bearer {self.token}"}

        def client_of(
            headers: dict[str, str] | None = None, timeout: httpx.Timeout | None = None, auth: httpx.Auth | None = None
        ) -> httpx.AsyncClient:
            return httpx.AsyncClient(headers=headers, timeout=timeout, auth=auth, transport=proxy)

        async with (
            streamablehttp_client(f"{NAME}/mcp", headers=headers, timeout=DEADLINE, httpx_client_factory=client_of) as (
                read,
                write,
                _,
            ),
            ClientSession(read, write, read_timeout_seconds=timedelta(seconds=DEADLINE)) as session,
        ):
            await session.initialize()
            yield session
