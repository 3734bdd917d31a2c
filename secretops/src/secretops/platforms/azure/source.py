"""The source `azure-kv:<vault's host>/<secret>[+<secret>…]`: secrets that the launcher reads in an Azure Key Vault as
the managed identity.

An example is azure-kv:coreflux-mcp-prod.vault.azure.net/mqtt+agent-key. Without a secret it requests all secrets of
the server, and the audit log records a denied request for each that the identity may not read.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from secretops.errors import StoreError, UsageError
from secretops.launcher.polling_source import (
    OUTPUT,
    POLL_SECONDS,
    PollingSource,
    StoredVersion,
    parse_version,
    requested_secrets,
)
from secretops.platforms.azure.api import KeyVaultApi
from secretops.platforms.azure.tags import ID, latest


class KeyVault(PollingSource):
    """Polls the list of a secret's versions, and reads a value only after the list has changed.

    Polls cost 0.03 USD a month for each secret, server and page of 25 versions
    (https://azure.microsoft.com/pricing/details/key-vault/, 2025). A vault accepts 4,000 operations in ten seconds.
    """

    def __init__(
        self,
        place: str,
        *,
        open_api: Callable[[str], KeyVaultApi] = KeyVaultApi,
        every: float = POLL_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        host, slash, path = place.partition("/")
        if not host or not slash:
            raise UsageError(
                f"--from azure-kv:{place}: invalid source",
                rule="the source must have the form azure-kv:<vault's host>/<secret>[+<secret>…]",
                remedy=f"{OUTPUT}; for example azure-kv:coreflux-mcp.vault.azure.net/mqtt",
                code="source-invalid",
            )
        requested = requested_secrets(f"azure-kv:{place}", path)
        super().__init__(f"Key Vault {host}", requested, str, every=every, clock=clock)
        self._vault, self._api = host.partition(".")[0], open_api(f"https://{host}")

    def revision(self, name: str) -> str | None:
        stored = self._api.versions(name)
        if not stored and name in self._found:
            raise StoreError(
                f"secret {name} was deleted from the vault",
                rule="the secret must exist; the vault retains the deleted secret until a purge",
                remedy=f"az keyvault secret recover --vault-name {self._vault} --name {name}",
                code="secret-deleted",
            )
        if stored and not any(one.enabled for one in latest(stored)):  # a read would be recorded as denied
            raise _disabled(name)
        return repr(sorted((one.id, one.enabled) for one in stored)) if stored else None

    def fetch(self, name: str, revision: str) -> StoredVersion | None:  # noqa: ARG002 - returns the newest version
        found = self._api.value(name)
        if found is None:
            raise _disabled(name)
        return parse_version(name, found.tags.get(ID, found.id), found.text)


def _disabled(name: str) -> StoreError:
    return StoreError(
        f"secret {name}: its newest version is disabled",
        rule="the newest version must be enabled: Key Vault returns no other version to readers",
        remedy="secretops doctor shows the version, and how to enable or replace the version",
        code="current-version-disabled",
    )
