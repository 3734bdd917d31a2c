"""The Swarm store's rotator: who starts `secretops tick`, which then runs as a task that has the values attached."""

from __future__ import annotations

import pulumi

from secretops.manifest import Manifest

from ..core.broker import BrokerArgs
from ..core.component import Component
from .deployed import service
from .names import Names
from .principals import SwarmPlace
from .rotator_spec import rotator_shape
from .settings import SwarmServer, SwarmStore


class SwarmRotator(Component):
    """One replica on a manager that starts a tick each hour. Owns a config of the manifest; never a value."""

    def __init__(
        self,
        name: str,
        *,
        manifest: Manifest,
        store: SwarmStore,
        server: SwarmServer,
        broker: BrokerArgs,
        names: Names,
        place: SwarmPlace,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:Rotator", name, opts)
        shape = rotator_shape(names, store, server, broker, manifest)
        service("rotator-service", shape, names=names, place=place, parent=self)
        self.register_outputs({})
