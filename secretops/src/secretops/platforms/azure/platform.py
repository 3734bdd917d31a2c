from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from secretops.platform import OpenedStack, Platform, StoreChecks
from secretops.platforms.azure.location import AzureStoreLocation
from secretops.registry import with_extra

if TYPE_CHECKING:
    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import VersionStore
    from secretops.launcher.sources import Source
    from secretops.manifest import Manifest
    from secretops.trails import Trail


class Azure(Platform[AzureStoreLocation]):
    location = AzureStoreLocation
    delivery_delay = "seconds, or up to 5 minutes if the hint is lost"
    is_polled = True
    lists_orphans = False
    trail_source = "the vault's audit log needs a Log Analytics workspace, and the stack has none"
    no_value_trail = "Key Vault's audit log has only the version"

    def open_store(self, location: AzureStoreLocation, *, role: str) -> tuple[VersionStore, Journal]:
        with with_extra("azure"):
            from secretops.platforms.azure.store import KeyVaultVersionStore
        store = KeyVaultVersionStore(location, log_entries=role == "rotator")
        return store, store.journal

    def open_trail(self, manifest: Manifest) -> Trail:
        from secretops.platforms.azure.trail import LogAnalytics

        return LogAnalytics(self.of(manifest))

    def query_trail(self, location: AzureStoreLocation) -> Callable[[datetime | None], Iterator[bytes]] | None:
        if not location.workspace:
            return None
        with with_extra("azure"):
            from secretops.platforms.azure.log_workspace import Workspace
        return Workspace(location).lines

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        with with_extra("azure"):
            from secretops.platforms.azure.checks import Vault, azure_checks
        vault = Vault(self.of(stack.manifest))
        return StoreChecks(reach=vault.reach, checks=azure_checks(vault, stack, tick))

    def open_source(self, place: str) -> Source:
        with with_extra("azure"):
            from secretops.platforms.azure.source import KeyVault
        return KeyVault(place)


PLATFORM = Azure()
