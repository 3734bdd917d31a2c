"""The Docker Swarm store: secretops creates secrets and mounts them into a service.

The secrets are not resources of the stack: the provider would write their data to the state (docs/adr/0012).
"""

from __future__ import annotations

import pulumi

from secretops.platforms.swarm.trail import CHANGES, INTO_CONTAINER

from ..core.component import Component
from ..core.principals import Principal
from ..core.references import MountedFiles
from ..core.secret_store import SecretStore, Trail
from .deployed import service
from .identity import open_service
from .names import Names
from .service_spec import SwarmService
from .store_spec import SOURCE, SwarmRotatorArgs, SwarmSecretStoreArgs, manifest_of, rotator_shape

# Filters for the types of events that `secretops audit` reads. Events can't be filtered by their objects' labels.
FILTERS = " ".join(f"--filter event={action}" for action in (*sorted(INTO_CONTAINER), *sorted(CHANGES)))


class SwarmSecretStore(SecretStore):
    """A Swarm's secrets as a store: their names, and the rotator. Contains no secret values."""

    service: SwarmService
    """The stack's provider, network and names, to pass to other components as `shared`."""

    def __init__(self, name: str, args: SwarmSecretStoreArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:SecretStore", name, opts, formerly="")
        self._name, self._args, self.service = name, args, open_service(name, args, self)
        self._names = Names(self.service.base)
        self.manifest = manifest_of(self._names, args)
        self.register_outputs({"prefix": self._names.prefix})

    def publish(self, *, reader: Principal) -> MountedFiles:
        """Return the reference. Swarm needs no grant: a service's secrets are readable only in its containers."""
        match reader:
            case SwarmService():
                return MountedFiles(source=SOURCE, secrets=self.read_by_server)
            case _:
                raise TypeError(f"{reader}: only a service of this Swarm can mount its secrets")

    def rotate(self) -> str:
        """Declare the rotator's service, or return the command that installs a timer on a manager."""
        args = self._args
        if args.rotator == "timer":
            return turn_on(self._names, self.manifest.stack)
        SwarmRotator(
            f"{self._name}-rotator",
            SwarmRotatorArgs(
                manifest=self.manifest, shared=self.service, socket=args.socket, log_driver=args.log_driver
            ),
            pulumi.ResourceOptions(parent=self),
        )
        return ""

    def record_access(self) -> Trail:
        """Return where launcher and rotator record reads, and the query for the managers' log of changes."""
        return Trail(
            records=f"the logs of the services {self._names.of('server')} and {self._names.prefix}task-…, "
            "and of the unit or service that starts ticks; each access is a JSON line",
            query=f"docker events --since 24h --until 0s --format '{{{{json .}}}}' {FILTERS}",
        )


class SwarmRotator(Component):
    """A service with one replica on a manager. Each hour it starts a tick as a task that mounts the secrets.

    The component also creates a config with the manifest.
    """

    def __init__(self, name: str, args: SwarmRotatorArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:Rotator", name, opts)
        shape = rotator_shape(args.manifest, socket=args.socket, log_driver=args.log_driver)
        service(name, shape, formerly="rotator-service", place=args.shared.place, parent=self)
        self.register_outputs({})


def turn_on(names: Names, stack: str) -> str:
    folder = f"/etc/{names.base}"
    unit = f"{folder}/{names.base}-tick"
    return (
        f"secretops export timer --stack {stack} --to FOLDER, then on a manager to which you copied FOLDER: "
        f"sudo cp -rT FOLDER {folder} && sudo systemctl link {unit}.service && "
        f"sudo systemctl enable --now {unit}.timer"
    )
