from __future__ import annotations

import functools
import shutil
from typing import TYPE_CHECKING

from secretops.errors import SecretopsError
from secretops.platform import OpenedStack, Platform, Salvage, StoreChecks
from secretops.platforms.dotenv.location import DotenvStoreLocation

if TYPE_CHECKING:
    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import VersionStore
    from secretops.launcher.sources import Source
    from secretops.manifest import Manifest
    from secretops.trails import Trail


class Dotenv(Platform[DotenvStoreLocation]):
    location = DotenvStoreLocation
    delivery_delay = "about a second"
    no_value_trail = "the access records name the version that was read"

    def open_store(self, location: DotenvStoreLocation, *, role: str) -> tuple[VersionStore, Journal]:
        from secretops.access import AccessRecords
        from secretops.platforms.dotenv.store import DotenvVersionStore, JournalFile
        from secretops.stores import files

        root = location.folder
        records = AccessRecords(root / files.RECORDS, self.actor(role))
        return DotenvVersionStore(location, records), JournalFile(root / files.JOURNAL)

    def open_trail(self, manifest: Manifest) -> Trail:
        from secretops.trails import AccessRecordTrail

        return AccessRecordTrail(manifest.secrets)

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        from secretops.platforms.dotenv.checks import dotenv_checks, reach

        location = self.of(stack.manifest)
        return StoreChecks(reach=functools.partial(reach, location.folder), checks=dotenv_checks(location))

    def salvage(self, location: DotenvStoreLocation, store: VersionStore) -> Salvage | None:
        from secretops.platforms.dotenv.salvage import Salvage
        from secretops.platforms.dotenv.store import DotenvVersionStore

        return Salvage(location, store) if isinstance(store, DotenvVersionStore) else None

    def public_drift(self, location: DotenvStoreLocation) -> list[str]:
        from secretops.platforms.dotenv.delivery import RESTORE, Delivery

        try:
            lines = Delivery(location).public_findings()
        except SecretopsError as error:
            return [f"{error.what}: {error.remedy}"]
        return [f"config/.env: {'; '.join(lines)}: {RESTORE}"] if lines else []

    def remove_leftovers(self, location: DotenvStoreLocation) -> None:
        from secretops.platforms.dotenv.salvage import ASIDE
        from secretops.stores import files

        aside = location.folder / ASIDE
        with files.os_errors(aside):
            if aside.exists():
                shutil.rmtree(aside)

    def open_source(self, place: str) -> Source:
        from secretops.platforms.dotenv.source import DotenvSource

        return DotenvSource(place)


PLATFORM = Dotenv()
