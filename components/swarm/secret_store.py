"""The Docker Swarm store: secrets of a Swarm, which secretops makes and moves a service to.

None of them is a resource of the stack: the provider keeps a secret's data in the state (docs/adr/0012).
"""

from __future__ import annotations

import pulumi

from ..core.broker import BrokerArgs
from ..core.principals import Principal
from ..core.references import MountedFiles
from ..core.secret_store import Schedule, SecretStore, Trail
from ..settings.settings import Settings
from .access_trail import trail_of
from .location import SOURCE, manifest_of
from .names import Names, names_of
from .principals import SwarmPlace, SwarmService
from .rotation import SwarmRotator
from .settings import SwarmServer, SwarmStore


class SwarmSecretStore(SecretStore):
    """Secrets of a Swarm as a store. Owns names and the rotator; never a value, and no secret."""

    def __init__(
        self,
        name: str,
        *,
        store: SwarmStore,
        server: SwarmServer,
        broker: BrokerArgs,
        place: SwarmPlace,
        settings: Settings,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:SecretStore", name, opts)
        self._store, self._server, self._broker, self._place = store, server, broker, place
        self._names = names_of(settings.stack)
        self.manifest = manifest_of(self._names, server, broker, settings)
        self.register_outputs({"prefix": self._names.prefix})

    def publish(self, *, reader: Principal) -> MountedFiles:
        """Nothing to grant: what is attached to a service, its containers read, and nobody else's."""
        match reader:
            case SwarmService():
                return MountedFiles(source=SOURCE, secrets=self.read_by_server)
            case _:
                raise TypeError(f"{reader}: only a service of this Swarm is given its secrets")

    def rotate(self) -> Schedule:
        """A service on a manager, or the command that lays a timer down there."""
        if self._store.rotator == "timer":
            return Schedule(every="hour", turn_on=turn_on(self._names, self.manifest.stack))
        SwarmRotator(
            "rotator",
            manifest=self.manifest,
            store=self._store,
            server=self._server,
            broker=self._broker,
            names=self._names,
            place=self._place,
            opts=pulumi.ResourceOptions(parent=self),
        )
        return Schedule(every="hour", turn_on="")

    def record_access(self) -> Trail:
        """Own records: a Swarm has none of reads."""
        return trail_of(self._names)


def turn_on(names: Names, stack: str) -> str:
    """What starts the schedule, on a manager. Given, not run: the program may run anywhere."""
    folder = f"/etc/{names.base}"
    unit = f"{folder}/{names.base}-tick"
    return (
        f"secretops export timer --stack {stack} --to FOLDER, and on a manager that has it "
        f"sudo cp -rT FOLDER {folder} && sudo systemctl link {unit}.service && "
        f"sudo systemctl enable --now {unit}.timer"
    )
