"""`azure-kv:<vault's host>/<secret>[+<secret>…]`: secrets of an Azure Key Vault, as the workload's managed identity.

For example azure-kv:coreflux-mcp-prod.vault.azure.net/mqtt+agent-key: a secret has its name of the catalogue in the
vault too, which is of one stack. Without any, all four are asked for; asking for one that the identity may not read is
on record as refused, each time.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from secretops.errors import StoreError, UsageError
from secretops.launcher.polling_source import (
    POLL_SECONDS,
    PollingSource,
    StoredVersion,
    parse_version,
    requested_secrets,
)
from secretops.platforms.azure.api import KeyVaultApi
from secretops.platforms.azure.tags import ID, latest


class KeyVault(PollingSource):
    """`Source` over the newest versions, which Key Vault returns to a read without a version.

    A poll is one list of a secret's versions, of which Key Vault returns 25 at a time; a value is read only when that
    has changed. 8,760 polls a month at 0.03 USD per 10,000 operations are 0.03 USD a month for each secret of each
    server, and as much again for each 25 versions more (https://azure.microsoft.com/pricing/details/key-vault/, read
    in 2025). A vault takes 4,000 operations in ten seconds.
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
                f"--from azure-kv:{place}",
                rule="azure-kv:<vault's host>/<secret>[+<secret>…]",
                remedy="take it from the stack's output; for example azure-kv:coreflux-mcp.vault.azure.net/mqtt",
            )
        asked = requested_secrets(f"azure-kv:{place}", path)
        super().__init__(f"Key Vault {host}", asked, str, every=every, clock=clock)
        self._api = open_api(f"https://{host}")

    def revision(self, name: str) -> str | None:
        """Every version there is and if it is enabled: which of one second is the newest only a read tells."""
        kept = self._api.versions(name)
        if not kept and name in self._found:
            raise StoreError(
                f"secret {name}: it was deleted from the vault",
                rule="what is deleted is given to nobody, and is kept for the vault's retention",
                remedy="secretops status; az keyvault secret recover brings it back",
            )
        if kept and not any(one.enabled for one in latest(kept)):  # a read would be on record as refused
            raise _disabled(name)
        return repr(sorted((one.id, one.enabled) for one in kept)) if kept else None

    def fetch(self, name: str, revision: str) -> StoredVersion | None:  # noqa: ARG002 - whatever is the newest by now
        found = self._api.value(name)
        if found is None:
            raise _disabled(name)
        return parse_version(name, found.tags.get(ID, found.id), found.text)


def _disabled(name: str) -> StoreError:
    return StoreError(
        f"secret {name}: its newest version is disabled, and Key Vault gives no other",
        rule="whoever disabled it took it from its readers",
        remedy="secretops doctor says which one it is, and what mends it",
    )
