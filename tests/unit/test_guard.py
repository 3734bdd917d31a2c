"""Which requests over HTTP the launcher lets through, by their path and headers."""

from __future__ import annotations

import anyio
import pytest
from starlette.types import Message, Receive, Scope, Send

from secretops.launcher.guard import Guard
from secretops.launcher.http_token import BearerTokens
from secretops.launcher.listening import Address, Names
from secretops.values import Value, new_password

TOKEN = new_password()
MISDIRECTED, FORBIDDEN, UNAUTHORIZED, UNAVAILABLE, PASSED = 421, 403, 401, 503, 200
NOT_SENT = ""


def ask(path: str, *, outside: bool = True, has_token: bool = True, **headers: str) -> int:
    """Return the status of a request; PASSED where it got through."""
    names = Names.of(Address("127.0.0.1", 8000), ["mcp.example.com"])
    tokens = BearerTokens()
    if has_token:
        tokens.use(Value({"token": TOKEN}))
    sent: list[Message] = []

    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": PASSED})

    async def receive() -> Message:
        raise AssertionError("the body of a request is none of the guard's business")

    async def send(message: Message) -> None:
        sent.append(message)

    headers = {"host": "mcp.example.com", **headers}
    raw = [(name.encode(), text.encode()) for name, text in headers.items() if text != NOT_SENT]
    scope = {"type": "http", "method": "POST", "path": path, "headers": raw, "client": ("192.0.2.1", 1)}
    anyio.run(Guard(app, names=names, tokens=tokens, is_loopback=not outside), scope, receive, send)
    return int(sent[0]["status"])


RIGHT = f"Bearer {TOKEN}"


@pytest.mark.parametrize("path", ["/mcp", "/sse", "/messages/", "/metrics", "/", "/healthz/", "/mcp/healthz"])
@pytest.mark.parametrize(
    ("authorization", "expected"),
    [
        (RIGHT, PASSED),
        (NOT_SENT, UNAUTHORIZED),
        (f"Bearer {TOKEN}x", UNAUTHORIZED),
        (f"Basic {TOKEN}", UNAUTHORIZED),
        ("Bearer", UNAUTHORIZED),
    ],
)
def test_outside_loopback_every_route_needs_the_token(path: str, authorization: str, expected: int) -> None:
    assert ask(path, authorization=authorization) == expected


@pytest.mark.parametrize(
    ("path", "outside", "has_token", "expected"),
    [
        ("/healthz", True, True, PASSED),
        ("/readyz", True, False, PASSED),
        ("/mcp", True, False, UNAVAILABLE),
        ("/metrics", True, False, UNAVAILABLE),
        ("/mcp", False, False, PASSED),
        ("/mcp", False, True, UNAUTHORIZED),
        ("/sse", False, True, UNAUTHORIZED),
        ("/metrics", False, True, PASSED),
    ],
)
def test_a_request_without_a_token_gets_through_only_where_none_is_needed(
    path: str, outside: bool, has_token: bool, expected: int
) -> None:
    assert ask(path, outside=outside, has_token=has_token) == expected


@pytest.mark.parametrize("path", ["/mcp", "/healthz"])
@pytest.mark.parametrize("outside", [True, False])
@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"host": "evil.example"}, MISDIRECTED),
        ({"host": NOT_SENT}, MISDIRECTED),
        ({"origin": "http://evil.example"}, FORBIDDEN),
        ({"origin": "null"}, FORBIDDEN),
        ({"origin": "https://mcp.example.com"}, PASSED),
    ],
)
def test_a_foreign_host_or_origin_is_refused_even_with_the_token(
    path: str, outside: bool, headers: dict[str, str], expected: int
) -> None:
    assert ask(path, outside=outside, authorization=RIGHT, **headers) == expected
