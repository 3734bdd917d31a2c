"""Vaults over HTTPS on loopback, with their host names in Azure, `https://<name>.vault.azure.net`.

A proxy redirects clients here (tests/real/azure). `Vault.violations` lists requests and answers that violate Azure's
description.
"""

from __future__ import annotations

import json
import socket
import ssl
import threading
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from tools.key_vault import audit, problems
from tools.key_vault.description import Description, Operation
from tools.key_vault.faults import Fault
from tools.key_vault.problems import Refusal
from tools.key_vault.roles import ACTIONS, Assignment
from tools.key_vault.tokens import Authority, RefusedTokenError
from tools.key_vault.vault import PAGE, Body, Vault

DOMAIN = ".vault.azure.net"
AUDIENCE = "https://vault.azure.net"
WRITES = {"SetSecret", "UpdateSecret", "DeleteSecret", "RecoverDeletedSecret", "PurgeDeletedSecret", "RestoreSecret"}
# Seconds that a connection may be idle, and that stopping waits.
DEADLINE = 60.0


class KeyVaults(ThreadingHTTPServer):
    """An HTTPS server for vaults. `certificate` is valid for `*.vault.azure.net`."""

    daemon_threads = True

    def __init__(self, authority: Authority, description: Description, certificate: Path, key: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.authority, self.description = authority, description
        self.vaults: dict[str, Vault] = {}
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.minimum_version = ssl.TLSVersion.TLSv1_2
        self._tls.load_cert_chain(certificate, key)
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()

    def vault(self, name: str, **options: Any) -> Vault:
        made = Vault(name, **options)
        self.vaults[f"{name}{DOMAIN}".lower()] = made
        return made

    def finish_request(self, request: Any, client_address: Any) -> None:
        """Complete the TLS handshake in the connection's thread, so that a slow client does not block others."""
        request.settimeout(DEADLINE)
        try:
            wrapped = self._tls.wrap_socket(request, server_side=True)
        except OSError:  # the client does not trust the certificate, or disconnected
            return
        try:
            super().finish_request(wrapped, client_address)
        except OSError:
            return
        finally:
            wrapped.close()


class _Handler(BaseHTTPRequestHandler):
    server: KeyVaults
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise an answer's body waits 40 ms for an acknowledgement
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        self._serve()

    do_PUT = do_PATCH = do_DELETE = do_POST = do_GET  # noqa: N815 - their base calls them so

    def _serve(self) -> None:
        begun = time.monotonic()
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        address = urlsplit(self.path)
        vault = self.server.vaults.get((self.headers.get("Host") or "").partition(":")[0].lower())
        operation = self.server.description.find(self.command, address.path)
        if vault is None:
            return self._send(problems.bad_parameter("no such vault"), None)
        if operation is None:
            vault.violations.append(f"{self.command} {address.path}: no such operation")
            return self._send(problems.bad_parameter("no such operation"), None)
        query = parse_qs(address.query, keep_blank_values=True)
        request = _Request(self, vault, operation, query, content)
        outcome = request.answer()
        if outcome is not None:
            request.record(outcome.status if isinstance(outcome, Refusal) else _success(operation), begun, outcome)
        if outcome is None or request.lost:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return None
        return self._send(outcome, request)

    def _send(self, outcome: Refusal | Body, request: _Request | None) -> None:
        status, headers = 200, {}
        if isinstance(outcome, Refusal):
            status, headers, outcome = outcome.status, outcome.headers, outcome.body
        elif request:
            status = _success(request.operation)
        body = b"" if status == HTTPStatus.NO_CONTENT else json.dumps(outcome).encode()
        content_type = "application/json; charset=utf-8" if body else ""
        if request:
            wrong = self.server.description.answer(request.operation, status, content_type, body)
            request.vault.violations += wrong
        self.send_response(status)
        for name, text in {
            "Cache-Control": "no-cache",
            **({"Content-Type": content_type} if body else {}),
            "x-ms-keyvault-region": "westeurope",
            "x-ms-client-request-id": self.headers.get("x-ms-client-request-id", ""),
            "x-ms-request-id": str(uuid.uuid4()),
            "Content-Length": str(len(body)),
            **headers,
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)


class _Request:
    def __init__(
        self, handler: _Handler, vault: Vault, operation: Operation, query: dict[str, list[str]], body: bytes
    ) -> None:
        self.vault, self.operation = vault, operation
        self._handler, self._server, self._query, self._body = handler, handler.server, query, body
        self.lost = False
        self._claims: Body = {}
        self._allowed: Assignment | None = None

    def answer(self) -> Refusal | Body | None:
        """Return the answer's body or error; None if a fault closes the connection first."""
        description = self._server.description
        wrong = description.request(self.operation, self._query)
        try:
            self._authenticate()
            # The SDK's first request has neither token nor body: it is for the challenge.
            wrong += description.body(self.operation, self._handler.headers.get("Content-Type", ""), self._body)
            outcome = self._meet(self.vault.fault(self.operation.id, self.operation.secret), wrong)
        except Refusal as refusal:
            outcome = refusal
        self.vault.violations += wrong
        return outcome

    def _meet(self, fault: Fault | None, wrong: list[str]) -> Refusal | Body | None:
        if fault is None:
            return self._do(wrong)
        time.sleep(fault.delay)
        self.lost = fault.drop
        fails = bool(fault.refusal or fault.drop)
        done = self._do(wrong) if fault.takes_effect or not fails else None
        return fault.refusal or done

    def record(self, status: int, begun: float, outcome: Refusal | Body) -> None:
        handler = self._handler
        request = audit.Request(
            operation=self.operation.id,
            uri=f"{self.vault.url}{handler.path}",
            api_version=self._query.get("api-version", [""])[-1],
            client=handler.headers.get("User-Agent", ""),
            address=handler.client_address[0],
            correlation_id=handler.headers.get("x-ms-client-request-id", ""),
            tls=str(getattr(handler.connection, "version", lambda: "")() or ""),
            claims=self._claims,
        )
        known = outcome.get("id") if isinstance(outcome, dict) else None
        self.vault.audit.append(
            audit.row(
                request,
                time=self.vault.clock(),
                duration_ms=int((time.monotonic() - begun) * 1000),
                status=status,
                description=outcome.message if isinstance(outcome, Refusal) else "",
                subject=known or f"{self.vault.url}{urlsplit(handler.path).path}".rstrip("/"),
                assignment=self._allowed.id if self._allowed else "",
                resource_id=self.vault.resource_id,
            )
        )

    def _authenticate(self) -> None:
        authority = self._server.authority
        challenge = (
            f'Bearer authorization="https://login.microsoftonline.com/{authority.tenant}", resource="{AUDIENCE}"'
        )
        scheme, _, token = self._handler.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not token:
            raise problems.unauthorized("AKV10000: Request is missing a Bearer or PoP token.", challenge)
        try:
            self._claims = authority.read(token, AUDIENCE)
        except RefusedTokenError as error:
            raise problems.unauthorized(str(error), challenge) from None

    def _do(self, wrong: list[str]) -> Body:
        operation, vault = self.operation, self.vault
        if operation.id not in ACTIONS:
            raise problems.bad_parameter(f"this stand-in has no {operation.id}")
        oid = self._claims["oid"]
        self._allowed = vault.access.allowing(oid, operation.id, operation.secret)
        if self._allowed is None:
            resource = vault.resource_id + (f"/secrets/{operation.secret}" if operation.secret else "")
            raise problems.forbidden_by_rbac(
                oid=oid,
                appid=self._claims["appid"],
                issuer=self._claims["iss"],
                action=ACTIONS[operation.id],
                resource=resource,
                vault=vault.name,
            )
        if wrong:
            raise problems.bad_parameter("; ".join(wrong))
        if operation.id not in WRITES:
            return self._effect()
        for each in vault.around_write:
            each()
        done = self._effect()
        for each in vault.around_write:
            each()
        return done

    def _effect(self) -> Body:
        vault, operation = self.vault, self.operation
        name, version = operation.secret or "", operation.path.get("secret-version", "")
        body: Body = json.loads(self._body) if self._body else {}
        done: dict[str, Callable[[], Body]] = {
            "SetSecret": lambda: vault.set(name, body),
            "GetSecret": lambda: vault.get(name, version),
            "UpdateSecret": lambda: vault.update(name, version, body),
            "DeleteSecret": lambda: vault.delete(name),
            "GetDeletedSecret": lambda: vault.deleted(name),
            "RecoverDeletedSecret": lambda: vault.recover(name),
            "PurgeDeletedSecret": lambda: vault.purge(name),
            "BackupSecret": lambda: vault.backup(name),
            "RestoreSecret": lambda: vault.restore(body["value"]),
            "GetSecretVersions": lambda: self._list(*vault.versions(name, *self._page())),
            "GetSecrets": lambda: self._list(*vault.secrets(*self._page())),
            "GetDeletedSecrets": lambda: self._list(*vault.all_deleted(*self._page())),
        }
        return done[operation.id]()

    def _page(self) -> tuple[int, str]:
        return int(self._query.get("maxresults", [str(PAGE)])[-1]), self._query.get("$skiptoken", [""])[-1]

    def _list(self, items: list[Body], after: str) -> Body:
        if not after:
            return {"value": items}
        address = urlsplit(self._handler.path)
        version = quote(self._query["api-version"][-1])
        link = f"{self.vault.url}{address.path}?api-version={version}&$skiptoken={after}"
        if "maxresults" in self._query:
            link += f"&maxresults={self._query['maxresults'][-1]}"
        return {"value": items, "nextLink": link}


def _success(operation: Operation) -> int:
    return HTTPStatus.NO_CONTENT if operation.id == "PurgeDeletedSecret" else HTTPStatus.OK
