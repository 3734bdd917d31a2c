"""Whose answer held a value: an audit device is asked what it calls the value, and its log is looked through for that.

The value itself goes from the store to the same server's audit-hash alone, and is in no line of the log and no output.
"""

from __future__ import annotations

from secretops.errors import SecretopsError, StoreError, WaitingError
from secretops.platform import OpenedStack
from secretops.platforms.vault.api import Api
from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.value_trail import GivenValue
from secretops.trails.protocol import Trail
from secretops.values import PUBLIC_FIELDS, Value


def given(session: OpenedStack, store: VaultStoreLocation, name: str, version: str) -> Trail:
    """Return the trail of who received the value of `version` of the secret `name`, in the log of any audit device.

    "" is the current version. Reads the value from the store. Raises UsageError, WaitingError, StoreError and
    UnreachableError.
    """
    secret = session.secret(name)
    current = session.store.versions(secret.name).current
    if not version and current is None:
        raise WaitingError(
            f"{name}: it has no value, so nobody was given one",
            remedy=session.first_value(secret),
        )
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
    """Each has a salt of its own, so that each calls a text otherwise."""
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
        found = api.raw("POST", f"sys/audit-hash/{device.strip('/')}", {"input": text})
    except StoreError as error:
        raise _refused(error, 'path "sys/audit-hash/*" { capabilities = ["update"] }') from error
    told = ((found or {}).get("data") or {}).get("hash")
    if not isinstance(told, str):
        from secretops.platforms.vault.errors import no_server

        raise no_server(api.server.host, "it says what each of its audit devices calls a text")
    return told


def _refused(error: SecretopsError, policy: str) -> StoreError:
    return StoreError(
        f"--given: {error.what}",
        rule=f"whoever asks by a value may list the devices and have a text hashed: {policy}",
        remedy="run it with a token that may; secretops audit --secret NAME needs none",
    )
