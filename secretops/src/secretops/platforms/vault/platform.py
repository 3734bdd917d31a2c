from __future__ import annotations

from typing import TYPE_CHECKING

from secretops.platform import OpenedStack, Platform, StoreChecks
from secretops.platforms.vault.location import VaultIssuer, VaultStoreLocation
from secretops.registry import with_extra

if TYPE_CHECKING:
    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import Issuer, VersionStore
    from secretops.launcher.sources import Source
    from secretops.manifest import Manifest
    from secretops.trails import Trail


class Vault(Platform[VaultStoreLocation]):
    location = VaultStoreLocation
    issuer = VaultIssuer
    delivery_delay = "seconds, or up to 6 minutes if the hint is lost or with Vault's agent in a cluster"
    is_polled = True
    trail_source = "the server's configuration names the file of each audit device, on the server's machine"

    def open_store(self, location: VaultStoreLocation, *, role: str) -> tuple[VersionStore, Journal]:
        with with_extra("vault"):
            from secretops.platforms.vault.store import VaultVersionStore
        store = VaultVersionStore(location, log_entries=role == "rotator")
        return store, store.journal

    def open_trail(self, manifest: Manifest) -> Trail:
        from secretops.platforms.vault.trail import VaultAuditLog

        return VaultAuditLog(self.of(manifest))

    def open_value_trail(self, stack: OpenedStack, secret: str, version: str) -> Trail:
        with with_extra("vault"):
            from secretops.platforms.vault.value_lookup import open_value_trail
        return open_value_trail(stack, self.of(stack.manifest), secret, version)

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        with with_extra("vault"):
            from secretops.platforms.vault.checks import vault_checks
            from secretops.platforms.vault.checks.server import VaultServer
        issuers = [each.issuer for each in stack.manifest.secrets if isinstance(each.issuer, VaultIssuer)]
        server = VaultServer(self.of(stack.manifest), signs=[f"{each.mount}/sign/{each.role}" for each in issuers])
        return StoreChecks(reach=server.reach, checks=vault_checks(server, tick))

    def open_issuer(self, manifest: Manifest, issuer: VaultIssuer) -> Issuer:
        with with_extra("vault"):
            from secretops.platforms.vault.api import Api, VaultPki
        return VaultPki(Api.of(self.of(manifest), issuer.mount), issuer)

    def open_source(self, place: str) -> Source:
        with with_extra("vault"):
            from secretops.platforms.vault.source import VaultSource
        return VaultSource(place)


PLATFORM = Vault()
