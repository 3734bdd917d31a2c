"""A fake of DigitalOcean: serves the API for agent keys, and an agent that accepts the current keys.

Requests and answers are validated against DigitalOcean's published OpenAPI description (digitalocean_openapi.json).
Each fault occurs once. This does not prove how many keys an agent may have, when the agent knows a new key, and whether
a list has values.
"""

import json
import os
import secrets
import ssl
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from unittest import mock
from urllib.parse import parse_qs, urlsplit

from openapi_schema_validator import OAS30ReadValidator, OAS30WriteValidator
from referencing import Registry
from referencing.jsonschema import DRAFT4

from secretops.values import Value
from tests.real.control_plane import make_keys
from tests.real.stack import DEADLINE

_BASE = "urn:digitalocean"
DESCRIPTION = json.loads((Path(__file__).parent / "digitalocean_openapi.json").read_text())
_registry: Registry[Any] = Registry().with_resource(_BASE, DRAFT4.create_resource(DESCRIPTION))


class Fault(StrEnum):
    """A fault of one request. A fault whose name ends in "after" occurs after the operation."""

    LIMITED = "429, with retry-after"
    LIMITED_UNTIL = "429, with ratelimit-reset"
    BROKEN = "500 before"
    MOVED = "307 to another place"
    BROKEN_AFTER = "500 after"
    DROPPED_AFTER = "no answer after"
    SLOW_AFTER = "an answer that comes too late after"
    GARBAGE_AFTER = "200 and no JSON after"
    OTHER_AFTER = "200 and another object after"


OK = 200
_BEFORE: dict[Fault | None, tuple[int, Callable[[], dict[str, str]]]] = {
    Fault.LIMITED: (429, lambda: {"retry-after": "3"}),
    Fault.LIMITED_UNTIL: (429, lambda: {"ratelimit-reset": str(int(datetime.now(UTC).timestamp()) + 50)}),
    Fault.BROKEN: (500, dict),
    Fault.MOVED: (307, lambda: {"Location": "/elsewhere"}),
}
_AFTER: dict[Fault | None, tuple[int, dict[str, Any] | bytes]] = {
    Fault.BROKEN_AFTER: (500, {"id": "server_error", "message": "Unexpected server-side error"}),
    Fault.GARBAGE_AFTER: (OK, b"<html>It works!</html>"),
    Fault.OTHER_AFTER: (OK, {"ok": True}),
}


def _error(status: int) -> dict[str, Any]:
    name = HTTPStatus(status).name.lower()
    return {"id": name, "message": f"{name}, as the description has it"}


@dataclass
class Key:
    agent: str
    id: str
    name: str
    secret: str = field(repr=False)
    created: datetime


@dataclass
class DigitalOcean:
    """The account of one owner, with one agent."""

    url: str
    agent: str = field(default_factory=lambda: str(uuid.uuid4()))
    token: str = field(repr=False, default_factory=lambda: f"dop_v1_{secrets.token_hex(32)}")
    scopes: set[str] = field(default_factory=lambda: {"genai:create", "genai:read", "genai:delete"})
    keys: dict[str, Key] = field(default_factory=dict)
    faults: list[tuple[str, Fault]] = field(default_factory=list)  # (operation, fault of the next one).
    requested: list[str] = field(default_factory=list)  # Each operation, in order.
    shown: list[str] = field(repr=False, default_factory=list)  # The token of each completion.
    broken_rules: list[str] = field(default_factory=list)
    most_on_a_page: int = 100
    not_yet: int = 0  # How many more completions refuse a new key.
    still: int = 0  # How many more completions accept a deleted key.
    deleted: set[str] = field(repr=False, default_factory=set)
    released: threading.Event = field(default_factory=threading.Event)  # Ends slow answers.
    lock: threading.RLock = field(default_factory=threading.RLock)

    @property
    def admin(self) -> Value:
        return Value({"token": self.token})

    def names(self) -> list[str]:
        with self.lock:
            return sorted(key.name for key in self.keys.values())

    def add(self, name: str) -> Key:
        with self.lock:
            made = Key(self.agent, str(uuid.uuid4()), name, secrets.token_urlsafe(24), datetime.now(UTC))
            self.keys[made.id] = made
        return made

    def ids(self, *, but: str = "") -> list[str]:
        with self.lock:
            return sorted(f"{key.agent}/{key.id}" for key in self.keys.values() if key.name != but)

    def delete(self, key: str) -> None:
        with self.lock:
            del self.keys[key.partition("/")[2]]

    def takes(self, value: Value) -> bool:
        with self.lock:
            return value["api-key"] in {key.secret for key in self.keys.values()}

    def fail(self, operation: str, *faults: Fault) -> None:
        self.faults += [(operation, fault) for fault in faults]

    def fault(self, operation: str) -> Fault | None:
        with self.lock:
            for at, (of, fault) in enumerate(self.faults):
                if of == operation:
                    del self.faults[at]
                    return fault
        return None

    def check(self, schema: str | None, supplied: Any, what: str, *, answers: bool) -> None:
        """Record violations of the description. Only place and rule are recorded, because the text may contain a
        value."""
        if schema is None:
            return
        validator = OAS30ReadValidator if answers else OAS30WriteValidator
        checked = validator({"$ref": f"{_BASE}#/schemas/{schema}"}, registry=_registry)
        self.broken_rules += [
            f"{what}: {error.json_path}: {error.validator}" for error in checked.iter_errors(supplied)
        ]


@contextmanager
def trusted() -> Iterator[ssl.SSLContext]:
    """Yield the TLS context for a server at localhost. This process and its children trust it during the block."""
    with tempfile.TemporaryDirectory() as made:
        folder, tls = Path(made), ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        make_keys(folder)
        tls.load_cert_chain(folder / "server.crt", folder / "server.key")
        with mock.patch.dict(os.environ, {"SSL_CERT_FILE": str(folder / "ca.crt")}):
            yield tls


@contextmanager
def digitalocean(tls: ssl.SSLContext | None = None, *, plain: bool = False) -> Iterator[DigitalOcean]:
    """Serve the fake at localhost, with `tls` or a new TLS context, and check the requests at the end."""
    with trusted() if tls is None and not plain else nullcontext(tls) as used:
        yield from _served(used)


def _served(tls: ssl.SSLContext | None) -> Iterator[DigitalOcean]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    url = f"http://127.0.0.1:{server.server_port}"
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
        url = f"https://localhost:{server.server_port}"
    server.account = account = DigitalOcean(url)  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield account
    finally:
        account.released.set()
        server.shutdown()
        server.server_close()
        thread.join(DEADLINE)
    assert not account.broken_rules, account.broken_rules


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    @property
    def _account(self) -> DigitalOcean:
        return self.server.account  # type: ignore[attr-defined, no-any-return]

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._take()

    def do_POST(self) -> None:
        self._take()

    def do_DELETE(self) -> None:
        self._take()

    def _take(self) -> None:
        at = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        account = self._account
        name, path = _operation(self.command, at.path)
        if name is None:
            account.broken_rules.append(f"{self.command} {at.path}: no operation")
            return self._answer(404, _error(404))
        operation = DESCRIPTION["operations"][name]
        with account.lock:
            account.requested.append(name)
        fault = account.fault(name)
        if fault in _BEFORE:
            status, headers = _BEFORE[fault]
            return self._answer(status, _error(status), headers())
        if operation["request"]:
            account.check(operation["request"], json.loads(body), f"request of {name}", answers=False)
        status, answer = self._do(name, operation["scope"], path, parse_qs(at.query), body)
        account.check(operation["answer"] if status == OK else "error", answer, f"answer of {name}", answers=True)
        if fault is Fault.DROPPED_AFTER:
            self.close_connection = True
            return None
        if fault is Fault.SLOW_AFTER:
            account.released.wait(DEADLINE)
        return self._answer(*_AFTER.get(fault, (status, answer)))

    def _do(
        self, name: str, scope: str, path: Mapping[str, str], query: dict[str, list[str]], body: bytes
    ) -> tuple[int, dict[str, Any]]:
        account = self._account
        token = self.headers.get("Authorization", "").removeprefix("Bearer ")
        with account.lock:
            if name == "complete":
                return self._complete(token, query)
            if token != account.token or scope not in account.scopes:
                status = 403 if token == account.token else 401
                return status, _error(status)
            agent, gone = path["agent_uuid"], account.keys.get(path.get("api_key_uuid", ""))
            if agent != account.agent or (name == "delete" and (gone is None or gone.agent != agent)):
                return 404, _error(404)
            if name == "list":
                return OK, self._list(agent, query)
            if gone is None:
                made = account.add(json.loads(body)["name"])
                return OK, {"api_key_info": {**_info(made), "secret_key": made.secret}}
            del account.keys[gone.id]
            account.deleted.add(gone.secret)
            return OK, {"api_key_info": {**_info(gone), "deleted_at": datetime.now(UTC).isoformat()}}

    def _list(self, agent: str, query: dict[str, list[str]]) -> dict[str, Any]:
        account = self._account
        page, size = int(query["page"][0]), min(int(query["per_page"][0]), account.most_on_a_page)
        keys = sorted((key for key in account.keys.values() if key.agent == agent), key=lambda key: key.created)
        shown = keys[(page - 1) * size : page * size]
        pages = -(-len(keys) // size)
        meta = {"page": page, "pages": pages, "total": len(keys)}
        return {"api_key_infos": [_info(key) for key in shown], "meta": meta}

    def _complete(self, token: str, query: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        account = self._account
        account.shown.append(token)
        known = token in {key.secret for key in account.keys.values()}
        if known and account.not_yet:
            account.not_yet -= 1
            known = False
        if token in account.deleted and account.still:
            account.still -= 1
            known = True
        if not known or query.get("agent") != ["true"]:
            return 401, {"id": "unauthorized", "message": f"no access with {token}"}
        message = {"role": "assistant", "content": "Yes", "refusal": None, "reasoning_content": None}
        return OK, {
            "id": "chatcmpl-1",
            "object": "chat.completion",
            "created": int(datetime.now(UTC).timestamp()),
            "model": "any",
            "choices": [{"index": 0, "finish_reason": "length", "message": message}],
        }

    def _answer(self, status: int, body: dict[str, Any] | bytes, headers: Mapping[str, str] | None = None) -> None:
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
        except OSError:  # no client waits for it
            self.close_connection = True


def _operation(method: str, path: str) -> tuple[str | None, dict[str, str]]:
    for name, operation in DESCRIPTION["operations"].items():
        words, requested = operation["path"].split("/"), path.split("/")
        if operation["method"] != method or len(words) != len(requested):
            continue
        if all(word.startswith("{") or word == supplied for word, supplied in zip(words, requested, strict=True)):
            pairs = zip(words, requested, strict=True)
            return name, {word.strip("{}"): supplied for word, supplied in pairs if word.startswith("{")}
    return None, {}


def _info(key: Key) -> dict[str, Any]:
    return {"uuid": key.id, "name": key.name, "created_at": key.created.isoformat(), "created_by": "12345"}
