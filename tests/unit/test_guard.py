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


def ask(path: str, headers: dict[str, str], *, outside: bool, has_token: bool = True) -> int:
    """Return the status of a request; PASSED where it got through. In a header, {} becomes the token."""
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
    raw = [(name.encode(), text.format(TOKEN).encode()) for name, text in headers.items() if text != NOT_SENT]
    scope = {"type": "http", "method": "POST", "path": path, "headers": raw, "client": ("192.0.2.1", 1)}
    anyio.run(Guard(app, names=names, tokens=tokens, is_loopback=not outside), scope, receive, send)
    return int(sent[0]["status"])


RIGHT = "Bearer {}"
OPEN = ("/healthz", "/readyz")
PROTECTED = ("/mcp", "/sse", "/messages/", "/metrics", "/", "/healthz/", "/mcp/healthz")


@pytest.mark.parametrize(
    ("outside", "has_token", "paths", "authorization", "expected"),
    [
        (True, True, PROTECTED, RIGHT, PASSED),
        (True, True, PROTECTED, NOT_SENT, UNAUTHORIZED),
        (True, True, PROTECTED, "Bearer {}x", UNAUTHORIZED),
        (True, True, PROTECTED, "Basic {}", UNAUTHORIZED),
        (True, True, OPEN, NOT_SENT, PASSED),
        (True, False, PROTECTED, RIGHT, UNAVAILABLE),
        (True, False, OPEN, NOT_SENT, PASSED),
        (False, True, ("/mcp", "/sse", "/messages/"), NOT_SENT, UNAUTHORIZED),
        (False, True, (*OPEN, "/metrics"), NOT_SENT, PASSED),
        (False, False, (*OPEN, *PROTECTED), NOT_SENT, PASSED),
    ],
)
def test_a_request_needs_the_token_on_each_route_but_health(
    outside: bool, has_token: bool, paths: tuple[str, ...], authorization: str, expected: int
) -> None:
    found = {path: ask(path, {"authorization": authorization}, outside=outside, has_token=has_token) for path in paths}
    assert found == dict.fromkeys(paths, expected)


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
    assert ask(path, {"authorization": RIGHT, **headers}, outside=outside) == expected
