"""A seventh platform, in memory. It needs only this module and an entry in the registry."""

from typing import Literal

from secretops.check import Check, Repair, ok
from secretops.engine.journal import Journal
from secretops.engine.ports import VersionStore
from secretops.manifest import Manifest, StoreLocation
from secretops.platform import OpenedStack, Platform, StoreChecks
from secretops.trails import AccessRecordTrail
from tests.unit.memory import Memory


class MemoryLocation(StoreLocation):
    kind: Literal["memory"] = "memory"
    key: str


class InMemory(Platform[MemoryLocation]):
    location = MemoryLocation
    delivery_delay = "at once"

    def open_store(self, location: MemoryLocation, *, role: str) -> tuple[VersionStore, Journal]:  # noqa: ARG002
        memory = MEMORIES.setdefault(location.key, Memory("mqtt"))
        return memory.store(), memory

    def open_trail(self, manifest: Manifest) -> AccessRecordTrail:
        return AccessRecordTrail(manifest.secrets)

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:  # noqa: ARG002
        stored = MEMORIES[self.of(stack.manifest).key].content.versions
        return StoreChecks(reach=lambda: None, checks=[Check("memory", lambda: ok(", ".join(stored)))])


MEMORIES: dict[str, Memory] = {}
PLATFORM = InMemory()
