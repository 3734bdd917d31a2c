"""Creates vaults and role assignments in a local Key Vault emulator (tools/key_vault), so that rotators can run. It
never creates secret values."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit
from urllib.request import ProxyHandler, Request, build_opener

from tools.standin.azure.identities import ROLE_ASSIGNMENT, VAULT, kind
from tools.standin.cloud import Inputs, RefusedError, is_loopback

# Variable with the address of an emulator's control plane (tools/key_vault/management.py).
VARIABLE = "STANDIN_KEY_VAULT_URL"

DEADLINE = 30.0

# Code of an error in Azure -> its remedy.
REMEDIES: Mapping[str, str] = {
    "ConflictError": (
        "increase store.generation in the stack file for another name; or recover the deleted vault (`az keyvault "
        "recover -n {name}`); or, without purge protection, purge the vault (`az keyvault purge -n {name}`)"
    ),
    "RoleAssignmentExists": (
        "another resource assigns this role to the same principal at the same scope: derive the name of an assignment "
        "from these three, not from the order in a list"
    ),
    "VaultAlreadyExists": "another vault has this name: increase store.generation in the stack file for another name",
}


class Emulator:
    """The resources in an emulator at `url`. Raises RefusedError unless the emulator is on this machine."""

    def __init__(self, url: str) -> None:
        host = urlsplit(url).hostname or ""
        if not url.startswith("http://") or not is_loopback(host):
            raise RefusedError(
                f"{url}: the stand-in creates vaults only in an emulator on this machine; set {VARIABLE} to an http "
                "address on loopback, or unset it"
            )
        self.url = url.rstrip("/")
        self._opener = build_opener(ProxyHandler({}))  # without the user's HTTP proxy

    def makes(self, token: str) -> bool:
        return kind(token) in (VAULT, ROLE_ASSIGNMENT)

    def put(self, token: str, resource_id: str, inputs: Inputs) -> None:
        properties: Any = inputs.get("properties") if kind(token) == VAULT else inputs
        self._call("PUT", resource_id, {"properties": dict(properties or {})})

    def delete(self, resource_id: str) -> None:
        self._call("DELETE", resource_id)

    def exists(self, resource_id: str) -> bool:
        return self._call("GET", resource_id)

    def _call(self, method: str, resource_id: str, body: Mapping[str, Any] | None = None) -> bool:
        request = Request(  # noqa: S310 - http of loopback
            self.url + quote(resource_id),
            method=method,
            data=json.dumps(body).encode() if body is not None else None,
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=DEADLINE):
                return True
        except HTTPError as error:
            if error.code == HTTPStatus.NOT_FOUND and method != "PUT":
                return False
            text = json.loads(error.read() or b"{}").get("error", {})
            remedy = REMEDIES.get(text.get("code"), "follow the emulator's message").format(
                name=resource_id.rpartition("/")[2]
            )
            raise RefusedError(f"{resource_id}: {text.get('code')}: {text.get('message')}; {remedy}") from error
        except URLError as error:
            raise RefusedError(
                f"{self.url}: the emulator does not answer ({error.reason}); start the emulator, or unset {VARIABLE}"
            ) from error
