from __future__ import annotations

import functools
from typing import TYPE_CHECKING

from secretops.platform import OpenedStack, Platform, RemoteCommand, StoreChecks
from secretops.platforms.swarm.location import SwarmStoreLocation
from secretops.platforms.swarm.task import actor, is_task
from secretops.registry import with_extra

if TYPE_CHECKING:
    from typer import Typer

    from secretops.check import Repair
    from secretops.engine.journal import Journal
    from secretops.engine.ports import VersionStore
    from secretops.manifest import Manifest
    from secretops.trails import Trail


class Swarm(Platform[SwarmStoreLocation]):
    location = SwarmStoreLocation
    delivery_delay = "the duration of an update of the service"
    trail_source = (
        "a daemon stores no events, and secretops prints its own records to the log of the process that ran it"
    )
    no_value_trail = "Swarm records no reads"

    def open_store(self, location: SwarmStoreLocation, *, role: str) -> tuple[VersionStore, Journal]:
        with with_extra("swarm"):
            from secretops.platforms.swarm.store import SwarmVersionStore
        store = SwarmVersionStore.open(location, role=role)
        return store, store.journal

    def actor(self, role: str) -> str:
        return actor(role)

    def open_trail(self, manifest: Manifest) -> Trail:
        from secretops.platforms.swarm.trail import SwarmEvents

        return SwarmEvents(self.of(manifest), manifest.secrets)

    def checks(self, stack: OpenedStack, tick: Repair) -> StoreChecks:
        with with_extra("swarm"):
            from secretops.platforms.swarm.checks import swarm_checks
            from secretops.platforms.swarm.checks.manager import Manager
        manager = Manager(self.of(stack.manifest))
        return StoreChecks(reach=manager.reach, checks=swarm_checks(manager, tick))

    def remove_leftovers(self, location: SwarmStoreLocation) -> None:
        with with_extra("swarm"):
            from secretops.platforms.swarm.job import JobRunner
        JobRunner(location).remove_all()

    def remote_command(self, manifest: Manifest) -> RemoteCommand | None:
        if is_task():
            return None
        with with_extra("swarm"):
            from secretops.platforms.swarm.job import run_job
        return functools.partial(run_job, self.of(manifest), manifest)

    def commands(self) -> Typer:
        from secretops.platforms.swarm.commands import export

        return export

    def is_remote(self) -> bool:
        return is_task()


PLATFORM = Swarm()
