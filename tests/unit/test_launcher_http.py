"""The launcher's HTTP transports without a network: addresses, names, tokens, log lines."""

import contextlib
import logging
import resource
import secrets
import signal
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import anyio
import httpx
import pytest
from mcp.server.fastmcp import FastMCP
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount
from starlette.types import Message, Receive, Scope, Send

from secretops.errors import SecretopsError, UsageError
from secretops.launcher import drain, limits, stdio
from secretops.launcher.drain import CallsUnderWay
from secretops.launcher.http import Guard, McpThread, Service
from secretops.launcher.http_options import (
    MIN_LENGTH,
    OVERLAP,
    Address,
    BearerTokens,
    HostNames,
    parse_http_options,
    parse_listen,
)
from secretops.launcher.limits import HEAD_SECONDS, LOG_EVERY, MAX_BODY_BYTES, MAX_CONNECTIONS, FloodFilter
from secretops.launcher.source_watcher import FirstValues
from secretops.launcher.sources import open_source
from secretops.launcher.state import LauncherState
from secretops.launcher.stdio import handle_signals
from secretops.launcher.upstream import refuse_connection_tools
from secretops.manifest import HTTP_TOKEN
from secretops.values import Value, new_password


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.parametrize(("text", "address", "is_loopback"), [
    *(("127.0.0.1:8000", Address("127.0.0.1", 8000), True), ("localhost:0", Address("127.0.0.1", 0), True)),
    *(("[::1]:8000", Address("::1", 8000), True), ("0.0.0.0:80", Address("0.0.0.0", 80), False)),
])  # fmt: skip
def test_address_is_loopback_or_reachable(text: str, address: Address, is_loopback: bool) -> None:
    assert parse_listen(text) == address
    assert address.is_loopback is is_loopback


@pytest.mark.parametrize(
    "text", ["", ":8000", "127.0.0.1", "127.0.0.1:65536", "::1:8000", "mcp.example.com:8000", "http://127.0.0.1:80"]
)
def test_anything_else_to_listen_on_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"127\.0\.0\.1:8000"):
        parse_listen(text)


LOCAL = HostNames.of(Address("127.0.0.1", 8000), ["mcp.example.com,Other.Example", "2001:db8::1"])
EVERYWHERE = HostNames.of(Address("0.0.0.0", 8000))


@pytest.mark.parametrize(("names", "host", "known"), [
    *((LOCAL, "127.0.0.1:8000", True), (LOCAL, "LOCALHOST:1", True), (LOCAL, "mcp.example.com:443", True)),
    *((LOCAL, "[2001:db8::1]:8000", True), (LOCAL, "evil.example:8000", False)),
    *((LOCAL, "localhost.evil.example", False), (LOCAL, "localhost:8000@evil.example", False)),
    *((LOCAL, None, False), (EVERYWHERE, "10.1.2.3:8000", True), (EVERYWHERE, "evil.example:8000", False)),
    (EVERYWHERE, "10.1.2.3.evil.example", False),
])  # fmt: skip
def test_a_host_header_is_one_of_the_servers_names(names: HostNames, host: str | None, known: bool) -> None:
    assert names.host(host) is known


@pytest.mark.parametrize(("names", "origin", "host", "allowed"), [
    *((LOCAL, None, "localhost:8000", True), (LOCAL, "http://localhost:6274", "localhost:8000", True)),
    *((LOCAL, "http://evil.example", "localhost:8000", False), (LOCAL, "null", "localhost:8000", False)),
    (EVERYWHERE, "http://10.1.2.3:8000", "10.1.2.3:8000", True),
    (EVERYWHERE, "http://10.6.6.6", "10.1.2.3:8000", False),
])  # fmt: skip
def test_origin_is_an_allowed_name_or_the_host(names: HostNames, origin: str | None, host: str, allowed: bool) -> None:
    assert names.origin(origin, host) is allowed


@pytest.mark.parametrize("entry", ["http://mcp.example.com", "mcp.example.com:443", "*.example.com"])
def test_an_allowed_host_that_is_no_name_is_refused_with_an_example(entry: str) -> None:
    with pytest.raises(UsageError, match=r"mcp\.example\.com"):
        HostNames.of(Address("127.0.0.1", 8000), [entry])


def token() -> Value:
    return Value({"token": secrets.token_hex(20)})


def bearer(value: Value) -> str:
    return f"Bearer {value['token']}"


def test_a_token_is_accepted_in_its_header_only_and_whole() -> None:
    tokens, value = BearerTokens(), token()
    tokens.use(value)
    assert tokens.any
    assert tokens.accept(bearer(value))
    assert tokens.accept(bearer(value).replace("Bearer", "bearer"))  # RFC 9110, section 11.1
    wrong = [None, "", "Bearer", "Bearer ", value["token"], bearer(token()), bearer(value)[:-1], f"{bearer(value)}0"]
    wrong += [bearer(value).upper(), bearer(value).replace("Bearer", "Basic"), "Bearer \u00e9"]
    assert sum(map(tokens.accept, wrong)) == 0


def test_the_token_before_a_change_is_accepted_for_the_overlap_and_no_longer() -> None:
    clock = Clock()
    tokens, first, second, third = BearerTokens(clock), token(), token(), token()
    tokens.use(first)
    tokens.use(second)
    assert tokens.accept(bearer(first))
    assert tokens.accept(bearer(second))
    clock.now += OVERLAP - 1
    tokens.use(second)  # the same again does not restart it
    assert tokens.accept(bearer(first))
    clock.now += 1
    assert not tokens.accept(bearer(first))
    tokens.use(third)
    assert tokens.accept(bearer(second))
    assert not tokens.accept(bearer(first))


def test_removed_token_is_still_required() -> None:
    tokens, value = BearerTokens(), token()
    tokens.use(value)
    tokens.use(None)
    assert tokens.any
    assert tokens.accept(bearer(value))


@pytest.mark.parametrize("text", ["", "x" * (MIN_LENGTH - 1), f"{'x' * MIN_LENGTH} ", f"{'x' * MIN_LENGTH}\u00e9"])
def test_weak_token_is_refused_unshown_and_the_old_one_goes_on(text: str) -> None:
    tokens, value = BearerTokens(), token()
    tokens.use(value)
    with pytest.raises(UsageError) as refused:
        tokens.use(Value({"token": text}))
    assert not text or text not in str(refused.value)
    assert "secretops put http-token" in str(refused.value)
    assert tokens.accept(bearer(value))


DEADLINE = 60.0
TOKEN = token()
ROUTES = ["/sse", "/messages/?session_id=0", "/mcp", "/mcp/", "/", "/healthz/../sse", "/metrics"]
PROBES = ["/healthz", "/readyz"]


@dataclass
class Reached:
    """Replaces the MCP server's thread: answers with the length of the body."""

    serves: bool

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body = await Request(scope, receive).body()
        await PlainTextResponse(f"reached {len(body)}")(scope, receive, send)


def service(address: str, tokens: BearerTokens, state: LauncherState, *, mcp: bool = True) -> httpx.AsyncClient:
    """Return an HTTP client of the whole application at `address`, in which Reached replaces the MCP server's
    thread."""
    listens = parse_http_options("http", address, ["mcp.example.com"])
    assert listens
    made = Service(listens, tokens, state, start=lambda: None)
    made.mcp = cast(Any, Reached(mcp))
    return httpx.AsyncClient(transport=httpx.ASGITransport(made.app()), base_url="http://127.0.0.1")


def statuses(client: httpx.AsyncClient, paths: list[str], **headers: str) -> list[int]:
    async def send_all() -> list[int]:
        return [(await client.post(path, headers=headers)).status_code for path in paths]

    return anyio.run(send_all)


def answer(client: httpx.AsyncClient, path: str, **headers: str) -> httpx.Response:
    async def send_all() -> httpx.Response:
        return await client.get(path, headers=headers)

    return anyio.run(send_all)


def tokens_with(value: Value | None) -> BearerTokens:
    tokens = BearerTokens()
    tokens.use(value)
    return tokens


@pytest.mark.parametrize(("address", "metrics"), [("127.0.0.1:8000", 200), ("0.0.0.0:8000", 401)])
def test_service_answers_health_without_a_token_and_metrics_on_loopback_only(address: str, metrics: int) -> None:
    client = service(address, tokens_with(TOKEN), LauncherState())
    assert set(statuses(client, ROUTES[:-1])) == {401}
    assert answer(client, "/healthz").status_code == 200
    assert answer(client, "/readyz").status_code == 503
    assert answer(client, "/metrics").status_code == metrics
    assert answer(client, "/metrics", authorization=bearer(TOKEN)).status_code == 200


def test_service_serves_loopback_without_a_token_and_nobody_else() -> None:
    assert answer(service("127.0.0.1:8000", BearerTokens(), LauncherState()), "/mcp").text == "reached 0"
    closed = answer(service("0.0.0.0:8000", BearerTokens(), LauncherState()), "/mcp", authorization=bearer(TOKEN))
    assert (closed.status_code, closed.headers["retry-after"]) == (503, "5")


def test_service_refuses_a_foreign_host_or_origin_with_the_token_too() -> None:
    client = service("127.0.0.1:8000", tokens_with(TOKEN), LauncherState())
    paths = ["/mcp", "/metrics", *PROBES]
    assert set(statuses(client, paths, host="evil.example:8000", authorization=bearer(TOKEN))) == {421}
    assert set(statuses(client, paths, origin="http://evil.example", authorization=bearer(TOKEN))) == {403}
    assert answer(client, "/healthz", host="mcp.example.com", origin="http://localhost:6274").status_code == 200


@pytest.mark.parametrize(
    ("waiting", "connected", "mcp", "followed", "ready"),
    [
        *(((), True, True, True, True), ((), False, True, True, False), ((), True, False, True, False)),
        *((("mqtt",), True, True, True, False), ((), True, True, False, False)),
    ],
    ids=["ready", "broker away", "server not yet there", "waits for a value", "nobody follows"],
)
def test_readyz_is_ready_only_when_a_call_would_work(
    waiting: tuple[str, ...], connected: bool, mcp: bool, followed: bool, ready: bool
) -> None:
    state = LauncherState()
    state.waiting_for, state.connected = waiting, connected
    if not followed:
        state.poll_failed()
    found = answer(service("127.0.0.1:8000", BearerTokens(), state, mcp=mcp), "/readyz")
    assert (found.status_code == 200) is found.json()["ready"] is ready
    assert found.json()["waiting_for"] == list(waiting)
    assert (found.json()["broker"] == "connected") is connected


def test_metrics_are_prometheus_text_with_versions_and_counts() -> None:
    state = LauncherState()
    state.use({"mqtt": "v-7"}, datetime.now(UTC) + timedelta(hours=1))
    state.connected = True
    state.count("swaps")
    state.count("refused_versions")
    state.polled(1.0)
    text = answer(service("127.0.0.1:8000", BearerTokens(), state), "/metrics").text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {"secret": "mqtt", "version": "v-7"} in [sample.labels for sample in samples]
    plain = {sample.name: sample.value for sample in samples if not sample.labels}
    assert 3500 < plain.pop("secretops_client_certificate_expiry_seconds") <= 3600
    assert plain == {
        "secretops_last_poll_timestamp_seconds": 1, "secretops_following": 1, "secretops_connection_by_tool": 0,
        "secretops_waiting": 0, "secretops_broker_connected": 1, "secretops_swaps_total": 1,
        "secretops_refused_versions_total": 1, "secretops_refused_publishes_total": 0,
        "secretops_failed_connects_total": 0,
    }  # fmt: skip


def test_metrics_name_no_version_of_the_connection_that_a_tool_chose() -> None:
    state = LauncherState()
    state.use({"mqtt": "v-7", "agent-key": "v-2"}, None)
    state.connection_by_tool = lambda: True
    text = answer(service("127.0.0.1:8000", BearerTokens(), state), "/metrics").text
    assert "v-7" not in text and "v-2" in text
    assert "secretops_connection_by_tool 1.0" in text


def test_health_tool_does_not_reconnect_when_connection_tools_are_refused() -> None:
    server: Any = SimpleNamespace(mcp=FastMCP("server"), reconnect_mqtt=lambda _: pytest.fail("reconnects"))

    @server.mcp.tool()  # type: ignore[untyped-decorator]
    async def check_broker_health() -> str:
        return str(await server.reconnect_mqtt(None))  # as upstream's does while it is disconnected

    refuse_connection_tools(server)
    assert "--allow-connection-tools" in str(anyio.run(server.mcp.call_tool, "check_broker_health", {}))


async def chunks(size: int) -> AsyncIterator[bytes]:
    for _ in range(size // 1024):
        yield bytes(1024)


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("size", "status"), [(MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1024, 413)])
def test_service_refuses_a_body_above_the_limit(size: int, chunked: bool, status: int) -> None:
    client = service("127.0.0.1:8000", BearerTokens(), LauncherState())

    async def send_all() -> httpx.Response:
        return await client.post("/mcp", content=chunks(size) if chunked else bytes(size))

    found = anyio.run(send_all)
    assert found.status_code == status
    assert (found.text == f"reached {size}") is (status == 200)


def test_service_refuses_a_body_with_two_lengths() -> None:
    client = service("127.0.0.1:8000", BearerTokens(), LauncherState())
    both = {"transfer-encoding": "chunked", "content-length": "0"}
    assert statuses(client, ["/mcp", "/healthz"], **both) == [400, 400]


@pytest.mark.parametrize(("path", "refused"), [("/healthz", False), ("/readyz", False), ("/mcp", True)])
def test_guard_lets_a_probe_of_http_1_0_without_a_host_through(path: str, refused: bool) -> None:
    guard = Guard(Reached(True), cast(Any, parse_http_options("http", "127.0.0.1:8000", ())), BearerTokens())
    scope = {"type": "http", "path": path, "http_version": "1.0", "headers": []}
    assert bool(guard._refuse(scope)) is refused


def test_a_refused_request_is_logged_without_its_path(caplog: pytest.LogCaptureFixture) -> None:
    guard = Guard(Reached(True), cast(Any, parse_http_options("http", "127.0.0.1:8000", ())), BearerTokens())
    scope = {"type": "http", "path": "/a-path", "query_string": b"a-query", "http_version": "1.1", "headers": []}
    assert guard._refuse(scope | {"client": ("10.9.8.7", 1)}) and guard._refuse(scope)
    assert all(line.startswith(FloodFilter.KINDS) for line in caplog.messages)
    assert "10.9.8.7" in caplog.text and "a-path" not in caplog.text and "a-query" not in caplog.text


class Connected:
    """A connection with the attributes that `limits` uses."""

    def __init__(self, since: float, *, waits: bool = True, admitted_before: bool = False) -> None:
        self.since, self.admitted_before = time.monotonic() - since, admitted_before
        self.waits = lambda: waits
        self.closed = False

    def close_now(self) -> None:
        self.closed = True


def test_a_new_connection_closes_the_longest_silent_one_of_a_stranger() -> None:
    strangers = [Connected(2), Connected(3), Connected(0)]
    client, call = Connected(4, admitted_before=True), Connected(9, waits=False)
    assert limits._close_longest_silent([*strangers, client, call])
    assert [each.closed for each in (*strangers, client, call)] == [False, True, False, False, False]
    assert limits._close_longest_silent([client, call]) and client.closed
    assert not limits._close_longest_silent([call, Connected(0)])


def test_a_connection_that_sends_no_head_in_time_is_closed() -> None:
    connections = [Connected(HEAD_SECONDS + 1), Connected(HEAD_SECONDS - 1), Connected(HEAD_SECONDS + 1, waits=False)]
    limits.close_overdue(connections)
    assert [each.closed for each in connections] == [True, False, False]


@pytest.mark.parametrize(
    ("descriptors", "most"), [(256, 160), (1024, MAX_CONNECTIONS), (resource.RLIM_INFINITY, MAX_CONNECTIONS)]
)
def test_connections_leave_some_descriptors(descriptors: int, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert limits.max_connections() == most


@pytest.mark.parametrize("kind", FloodFilter.KINDS)
def test_lines_that_strangers_cause_are_logged_seldom(kind: str) -> None:
    clock = Clock()
    floods = FloodFilter(clock)
    records = [logging.makeLogRecord({"msg": kind}) for _ in range(4)]
    assert [floods.filter(record) for record in records[:3]] == [True, False, False]
    assert floods.filter(logging.makeLogRecord({"msg": "another"}))
    clock.now += LOG_EVERY
    assert floods.filter(records[3])
    assert "2 more" in records[3].msg
    assert {record.msg for record in records[:3]} == {kind}


def ending() -> Starlette:
    @contextlib.asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        yield
        raise LookupError("its end")

    return Starlette(lifespan=lifespan)


@pytest.mark.parametrize("stopped", ["while it starts", "while it serves", "after it has failed"])
def test_mcp_thread_ends_whenever_it_is_stopped(stopped: str) -> None:
    begin, failed = threading.Event(), threading.Event()

    def start() -> Starlette:
        assert begin.wait(DEADLINE)
        if stopped == "after it has failed":
            raise LookupError("its start")
        return ending()

    thread = McpThread(start, failed.set)
    thread.start()
    if stopped != "while it starts":
        begin.set()
        while not (thread.serves or failed.is_set()):
            failed.wait(0.01)
    end = threading.Thread(target=thread.stop, args=(DEADLINE,))
    end.start()
    while not thread._stopping:
        failed.wait(0.01)
    begin.set()
    end.join(DEADLINE)
    assert not end.is_alive()
    assert isinstance(thread.failure, LookupError) and failed.is_set()


def test_mcp_thread_hands_on_messages_and_cancels_the_app_with_its_request() -> None:
    cancelled = threading.Event()

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        assert threading.current_thread().name == "mcp"
        try:
            await send(await receive())
            await anyio.sleep_forever()
        finally:
            cancelled.set()

    thread = McpThread(lambda: Starlette(routes=[Mount("/", app)]), lambda: None)

    async def scenario() -> list[Message]:
        sent: list[Message] = []
        scope = {"type": "http", "path": "/", "method": "GET", "headers": []}

        async def receive() -> Message:
            return {"type": "http.request"}

        async def send(message: Message) -> None:
            sent.append(message)
            tasks.cancel_scope.cancel()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(thread, scope, receive, send)
        return sent

    thread.start()
    while not thread.serves:
        cancelled.wait(0.01)
    assert anyio.run(scenario) == [{"type": "http.request"}]
    assert cancelled.wait(DEADLINE)
    thread.stop(DEADLINE)


async def _answer() -> str:
    return "done"


def known(calls: CallsUnderWay, handler: Callable[[], Awaitable[str]]) -> Callable[[], Awaitable[str]]:
    handlers: dict[str, Any] = {"call": handler}
    calls.watch(cast(Any, SimpleNamespace(_mcp_server=SimpleNamespace(request_handlers=handlers))))
    watched: Callable[[], Awaitable[str]] = handlers["call"]
    return watched


def test_shutdown_is_limited_to_the_documented_5_seconds() -> None:
    assert drain.CALL_SECONDS + drain.STREAM_SECONDS + drain.ANSWER_SECONDS < stdio.LAST_SECONDS < 5


async def drained(calls: CallsUnderWay, events: list[str]) -> None:
    await calls.drain()
    events.append("drained")


def test_posted_request_is_answered_before_shutdown() -> None:
    async def scenario() -> list[str]:
        calls, events, begin = CallsUnderWay(), list[str](), anyio.Event()
        handler = known(calls, _answer)

        async def post() -> None:
            with calls.posted():
                await begin.wait()  # its body is read, and its session has not taken it
                events.append(await handler())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            tasks.start_soon(drained, calls, events)
            await anyio.sleep(2 * drain._TURN * drain._QUIET_TURNS)
            begin.set()
        return events

    assert anyio.run(scenario) == ["done", "drained"]


@pytest.mark.parametrize("begins", ["before", "after"], ids=["under way", "begun after others were given up"])
def test_slow_call_is_answered_with_an_error_at_shutdown(begins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drain, "CALL_SECONDS", 0.05)
    monkeypatch.setattr(drain, "ANSWER_SECONDS", 60)

    async def scenario() -> list[str]:
        calls, events = CallsUnderWay(), list[str]()
        handler = known(calls, cast(Any, anyio.sleep_forever))

        async def post() -> None:
            with calls.posted():
                while begins == "after" and not calls._given_up:
                    await anyio.sleep(0.01)
                try:
                    await handler()
                except SecretopsError as error:
                    events.append(error.what)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(post)
            await drained(calls, events)
        return events

    assert anyio.run(scenario) == ["the server is shutting down", "drained"]


def test_hangup_stays_ignored_under_nohup() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with handle_signals(lambda *_: None):
            assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def first_values(source: str, address: str = "0.0.0.0:0") -> tuple[FirstValues, LauncherState, threading.Event]:
    listens = parse_http_options("http", address, ())
    assert listens
    state, stopping = LauncherState(), threading.Event()
    return FirstValues(open_source(source), listens, BearerTokens(), state, stopping), state, stopping


def all_but_the_token(scheme: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[str, Path]:
    monkeypatch.setenv("MQTT_BROKER", "localhost")
    password = new_password()
    if scheme == "files":
        (folder / "mqtt-user").write_text("user")
        (folder / "mqtt-password").write_text(password)
        return f"files:{folder}", folder / "http-token"
    monkeypatch.setenv("MQTT_USER", "user")
    monkeypatch.setenv("MQTT_PASSWORD", password)
    monkeypatch.setenv("MCP_HTTP_TOKEN_FILE", str(folder / "token"))
    return "env:", folder / "token"


@pytest.mark.parametrize("scheme", ["files", "env, naming a file"])
def test_missing_token_is_waited_for(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, token = all_but_the_token(scheme, tmp_path, monkeypatch)
    values, state, stopping = first_values(source)
    values.check()
    assert list(state.waiting_for) == [HTTP_TOKEN[0]]
    over = threading.Timer(DEADLINE, stopping.set)
    over.start()
    token.write_text(new_password())
    try:
        assert values.wait()
    finally:
        over.cancel()
    assert list(state.waiting_for) == []


@pytest.mark.parametrize("password", [True, False], ids=["all else is there", "the password is missing too"])
def test_token_missing_in_the_environment_never_comes(password: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MQTT_BROKER", "localhost")
    monkeypatch.setenv("MQTT_USER", "user")
    if password:
        monkeypatch.setenv("MQTT_PASSWORD", new_password())
    values, _, _ = first_values("env:")
    with pytest.raises(UsageError, match="http-token-required"):
        values.check()
