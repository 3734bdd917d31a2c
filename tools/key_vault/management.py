"""Azure's control plane for vaults and role assignments, which are addressed by resource ids.

It speaks plain HTTP on loopback, for the stand-in of Pulumi's provider (tools/standin/azure/emulator.py).
"""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

from tools.key_vault.roles import Assignment
from tools.key_vault.vault import Vault

DEADLINE = 60.0

_VAULT = re.compile(r"(?i).*/providers/Microsoft\.KeyVault/vaults/(?P<vault>[^/]+)(/secrets/(?P<secret>[^/]+))?")
_ASSIGNMENT = re.compile(r"(?i)(?P<scope>.*)/providers/Microsoft\.Authorization/roleAssignments/[^/]+")

HELD = "A vault with the same name already exists in deleted state. You need to either recover or purge existing vault."

ASSIGNED = "The role assignment already exists."

Answer = tuple[int, dict[str, Any]]


class Management(ThreadingHTTPServer):
    """The control plane of an Azure subscription. `open_vault` makes a vault reachable under its name in Azure."""

    daemon_threads = True

    def __init__(self, open_vault: Callable[..., Vault]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.open_vault = open_vault
        self.vaults: dict[str, Vault] = {}
        self.deleted: set[str] = set()
        """Names of deleted vaults that are not purged. Tests may add or remove names."""
        self.assigned: dict[str, Assignment | None] = {}
        """Resource id in lower case -> assignment; None if the scope is not a vault."""
        self._held: dict[tuple[str, str, str], str] = {}
        """Principal, role and scope, in lower case -> id of the assignment."""
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self.shutdown()
        self._thread.join(DEADLINE)
        self.server_close()

    def put(self, resource_id: str, properties: dict[str, Any]) -> Answer:
        if assignment := _ASSIGNMENT.fullmatch(resource_id):
            return self._assign(resource_id.lower(), assignment["scope"], properties)
        named = _VAULT.fullmatch(resource_id)
        if named is None or named["secret"]:
            return _refused(
                HTTPStatus.BAD_REQUEST, "InvalidResourceType", f"neither a vault nor a role assignment: {resource_id}"
            )
        name = named["vault"].lower()
        if name in self.deleted:
            return _refused(HTTPStatus.CONFLICT, "ConflictError", HELD)
        if name not in self.vaults:
            self.vaults[name] = self.open_vault(
                named["vault"],
                retention_days=properties.get("softDeleteRetentionInDays", 90),
                purge_protection=bool(properties.get("enablePurgeProtection")),
            )
        return HTTPStatus.OK, {"id": resource_id}

    def _assign(self, key: str, scope: str, properties: dict[str, Any]) -> Answer:
        made, named = None, _VAULT.fullmatch(scope)
        triple = (
            str(properties.get("principalId", "")).lower(),
            str(properties.get("roleDefinitionId", "")).rpartition("/")[2].lower(),
            scope.lower(),
        )
        if self._held.get(triple, key) != key:
            return _refused(HTTPStatus.CONFLICT, "RoleAssignmentExists", ASSIGNED)
        if named and key not in self.assigned:
            vault = self.vaults.get(named["vault"].lower())
            if vault is None:
                return _refused(HTTPStatus.NOT_FOUND, "ResourceNotFound", f"there is no vault {named['vault']}")
            role = str(properties["roleDefinitionId"]).rpartition("/")[2]
            made = vault.access.grant(str(properties["principalId"]), role, named["secret"])
        self.assigned.setdefault(key, made)
        self._held[triple] = key
        return HTTPStatus.CREATED, {"id": key}

    def get(self, resource_id: str) -> Answer:
        named = _VAULT.fullmatch(resource_id)
        there = resource_id.lower() in self.assigned or (named is not None and named["vault"].lower() in self.vaults)
        return (HTTPStatus.OK, {"id": resource_id}) if there else _refused(HTTPStatus.NOT_FOUND, "ResourceNotFound", "")

    def delete(self, resource_id: str) -> Answer:
        if _ASSIGNMENT.fullmatch(resource_id):
            scope, made = _VAULT.match(resource_id), self.assigned.pop(resource_id.lower(), None)
            self._held = {triple: key for triple, key in self._held.items() if key != resource_id.lower()}
            if made and scope and (vault := self.vaults.get(scope["vault"].lower())):
                vault.access.revoke(made)
            return HTTPStatus.OK, {}
        named = _VAULT.fullmatch(resource_id)
        if named and self.vaults.pop(named["vault"].lower(), None):
            self.deleted.add(named["vault"].lower())
        return HTTPStatus.OK, {}


class _Handler(BaseHTTPRequestHandler):
    server: Management

    def log_message(self, format: str, *args: object) -> None: ...

    def do_GET(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
        resource_id = unquote(urlsplit(self.path).path)
        done: dict[str, Callable[[], Answer]] = {
            "GET": lambda: self.server.get(resource_id),
            "PUT": lambda: self.server.put(resource_id, body.get("properties") or {}),
            "DELETE": lambda: self.server.delete(resource_id),
        }
        status, answer = done[self.command]()
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_PUT = do_DELETE = do_GET  # noqa: N815 - their base calls them so


def _refused(status: HTTPStatus, code: str, message: str) -> Answer:
    return status, {"error": {"code": code, "message": message}}
