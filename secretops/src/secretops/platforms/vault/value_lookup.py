"""Find a value's recipients by its HMAC in an audit device's log, also at other paths and mounts.

Sends the value only to `sys/audit-hash` of its own server.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from secretops.errors import StoreError, UsageError, WaitingError
from secretops.platform import OpenedStack
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.errors import not_vault
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.trail import KINDS, UNWRAP, VaultAuditLog, is_final, texts
from secretops.trails import Access, Trail, parsing
from secretops.values import PUBLIC_FIELDS

# Path for the HMAC of a text.
HASHING = "sys/audit-hash/"


def open_value_trail(session: OpenedStack, store: VaultStoreLocation, name: str, version: str) -> Trail:
    """Return the trail of requests that wrote or returned the value of `version`, by default the current one. Reads the
    value."""
    if store.namespace:
        raise UsageError(
            f"--value-of: the stack is in namespace {store.namespace}",
            rule="--value-of requires a stack in the root namespace: only that namespace computes the HMACs of a log",
            remedy="without --value-of: secretops audit --secret NAME",
            code="vault-value-lookup-namespace",
        )
    secret = session.secret(name)
    current = session.store.versions(secret.name).current
    if not version and current is None:
        remedy = session.first_value_command(secret)
        raise WaitingError(
            f"{name} has no value, so nobody can have received a value",
            rule="--value-of requires a secret that has a value",
            remedy=remedy,
            code="value-lookup-empty",
        )
    value = session.store.read(name, version or (current.id if current else ""), purpose="find its recipients")
    api = Api.of(store)
    try:
        hidden = [text for field, text in value.items() if field not in PUBLIC_FIELDS and text]
        return ValueTrail(store, {_hash(api, device, text) for device in _devices(api) for text in hidden})
    finally:
        api.close()


def _devices(api: Api) -> list[str]:
    devices = _ask(api, "GET", "sys/audit", 'path "sys/audit" { capabilities = ["read", "sudo"] }').get("data")
    if not devices:
        raise StoreError(
            "the Vault server has no audit device",
            rule="--value-of requires an audit device: its log names the recipients of a value",
            remedy="declare an audit device in the server's configuration (see the check `audit` of secretops doctor)",
            code="vault-audit-device-missing",
        )
    return sorted(devices)


def _hash(api: Api, device: str, text: str) -> str:
    policy = 'path "sys/audit-hash/*" { capabilities = ["update"] }'
    found = _ask(api, "POST", f"{HASHING}{device.strip('/')}", policy, {"input": text})
    hashed = (found.get("data") or {}).get("hash")
    if not isinstance(hashed, str):
        raise not_vault(api.server.host, "sys/audit-hash must return the HMAC of a text")
    return hashed


def _ask(api: Api, method: str, path: str, policy: str, body: Mapping[str, str] | None = None) -> dict[str, Any]:
    try:
        return api.raw(method, path, body) or {}
    except StoreError as error:
        raise StoreError(
            f"--value-of: {error.what}",
            rule=f"a policy of the token must have: {policy}",
            remedy="run the command with a token that has this policy; or without --value-of: secretops audit "
            "--secret NAME",
            code="vault-audit-denied",
        ) from error


class ValueTrail(VaultAuditLog):
    """The trail of requests that wrote or returned a text with one of `hashes`."""

    def __init__(self, location: VaultStoreLocation, hashes: Collection[str]) -> None:
        super().__init__(location)
        self._hashes = frozenset(hashes)

    def _accesses(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        with parsing("a line of an audit device"):
            path = str(entry["request"].get("path") or "")
            returned, written = self._contains(entry.get("response")), self._contains(entry["request"])
            if not is_final(entry) or not (returned or written) or path.startswith(HASHING):
                return
            operation = "unwrap" if path == UNWRAP else str(entry["request"]["operation"])
            kind, _, name = path.removeprefix(f"{self._mount}/").partition("/")
            is_ours = path.startswith(f"{self._mount}/") and kind in KINDS
            found = self.access(entry, *((f"{operation} {kind}", name) if is_ours else (operation, path)))
            yield dataclasses.replace(found, value_returned=returned)

    def _contains(self, side: Any) -> bool:
        return any(text in self._hashes for text in texts((side or {}).get("data")))
