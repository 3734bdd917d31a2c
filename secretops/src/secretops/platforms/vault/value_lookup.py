"""Find who received a value: an audit device is asked for its HMAC of the value, and its log is searched for that.

The same text has the same HMAC in every line, so this finds what a trail of paths can't: a copy at another path or in
another mount, and what somebody unwrapped. The value goes from the store to the same server's audit-hash alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from secretops.errors import SecretopsError, StoreError, WaitingError
from secretops.platform import OpenedStack
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.errors import no_server
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.trail import KINDS, UNWRAP, VaultAuditLog, counts, texts
from secretops.trails import Access, Trail, parsing
from secretops.values import PUBLIC_FIELDS, Value

# Where an HMAC is asked for, by who has the text already.
HASHING = "sys/audit-hash/"


def given(session: OpenedStack, store: VaultStoreLocation, name: str, version: str) -> Trail:
    """Return the trail of who received the value of `version` of the secret `name`, in the log of any audit device.

    "" is the current version. Reads the value from the store. Raises UsageError, WaitingError, StoreError and
    UnreachableError.
    """
    secret = session.secret(name)
    current = session.store.versions(secret.name).current
    if not version and current is None:
        remedy = session.first_value(secret)
        raise WaitingError(f"{name}: it has no value, so nobody was given one", remedy=remedy)
    value = session.store.read(name, version or (current.id if current else ""), purpose="ask who was given it")
    api = Api.of(store)
    try:
        return GivenValue(store, _hashes(api, value))
    finally:
        api.close()


def _hashes(api: Api, value: Value) -> frozenset[str]:
    hidden = [text for field, text in value.items() if field not in PUBLIC_FIELDS and text]
    return frozenset(_hash(api, device, text) for device in _devices(api) for text in hidden)


def _devices(api: Api) -> tuple[str, ...]:
    """Return the audit devices. Each has its own salt, and so another HMAC of a text."""
    try:
        found = api.raw("GET", "sys/audit") or {}
    except StoreError as error:
        raise _refused(error, 'path "sys/audit" { capabilities = ["read", "sudo"] }') from error
    devices = tuple(sorted(found.get("data") or {}))
    if not devices:
        raise StoreError(
            "the server has no audit device",
            rule="what was given is found by what a device wrote of it",
            remedy="declare one in the server's configuration; secretops doctor says how",
        )
    return devices


def _hash(api: Api, device: str, text: str) -> str:
    try:
        found = api.raw("POST", f"{HASHING}{device.strip('/')}", {"input": text})
    except StoreError as error:
        raise _refused(error, 'path "sys/audit-hash/*" { capabilities = ["update"] }') from error
    hashed = ((found or {}).get("data") or {}).get("hash")
    if not isinstance(hashed, str):
        raise no_server(api.server.host, "it says what each of its audit devices calls a text")
    return hashed


def _refused(error: SecretopsError, policy: str) -> StoreError:
    return StoreError(
        f"--given: {error.what}",
        rule=f"whoever asks by a value may list the devices and have a text hashed: {policy}",
        remedy="run it with a token that may; secretops audit --secret NAME needs none",
    )


class GivenValue(VaultAuditLog):
    """`Trail` over every request of a server whose answer held one of `hashes`, or that wrote it."""

    def __init__(self, location: VaultStoreLocation, hashes: Collection[str]) -> None:
        super().__init__(location)
        self._hashes = frozenset(hashes)

    def _access(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        with parsing("a line of an audit device"):
            path = str(entry["request"].get("path") or "")
            given, written = self._holds(entry.get("response")), self._holds(entry["request"])
            if not counts(entry) or not (given or written) or path.startswith(HASHING):
                return
            operation = "unwrap" if path == UNWRAP else str(entry["request"]["operation"])
            kind, _, name = path.removeprefix(f"{self._mount}/").partition("/")
            is_ours = path.startswith(f"{self._mount}/") and kind in KINDS
            found = self.access(entry, *((f"{operation} {kind}", name) if is_ours else (operation, path)))
            yield dataclasses.replace(found, value_returned=given)

    def _holds(self, side: Any) -> bool:
        return any(text in self._hashes for text in texts((side or {}).get("data")))
