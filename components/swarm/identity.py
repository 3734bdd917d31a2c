"""The server's identity on a Swarm: a service has none but its name. With it goes the place that all else lies in."""

from __future__ import annotations

import hashlib

import pulumi
import pulumi_docker as docker

from secretops.forms import registry_of

from ..core.component import Component
from .deployer import logged_in, manager
from .names import Names, names_of
from .principals import SwarmPlace, SwarmService
from .settings import SwarmServer

LEAST_VXLAN, VXLANS = 2**20, 2**24
VXLAN = "com.docker.network.driver.overlay.vxlanid_list"


def options_of(names: Names) -> dict[str, str]:
    """Of an encrypted network. With its VXLAN id, for where options are declared a refresh reads all of them back, and
    one that is not declared would make network and service anew.

    The id is the stack's own by a hash, far above those that Docker gives out from 4096 on.
    """
    spread = int(hashlib.sha256(names.base.encode()).hexdigest()[:8], 16)
    return {"encrypted": "true", VXLAN: str(LEAST_VXLAN + spread % (VXLANS - LEAST_VXLAN))}


def _logins(server: SwarmServer) -> list[docker.ProviderRegistryAuthArgs] | None:
    """By the registry's name alone: the provider reads Docker's own file, and no value is an input of it."""
    registry = registry_of(server.image)
    if not server.registry_login or registry is None:
        return None
    return [docker.ProviderRegistryAuthArgs(address=logged_in(registry))]


class SwarmIdentity(Component):
    """The provider that talks to a manager, and the overlay network of the stack. Owns no service and no secret."""

    def __init__(
        self, name: str, *, server: SwarmServer, stack: str, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("coreflux-mcp-secrets:swarm:Identity", name, opts)
        names = names_of(stack)
        provider = docker.Provider(
            "swarm",
            host=manager(),  # left to itself it does not look at the current context, and secretops does
            registry_auth=_logins(server),
            disable_docker_daemon_check=True,  # a preview of what is not there yet needs no daemon
            opts=pulumi.ResourceOptions(parent=self),
        )
        network = docker.Network(
            "network",
            name=names.network(server),
            driver="overlay",
            attachable=True,  # a reverse proxy may be a container that no service started
            options=options_of(names) if server.encrypted else None,
            labels=[docker.NetworkLabelArgs(label=key, value=value) for key, value in names.labels.items()],
            opts=pulumi.ResourceOptions(parent=self, provider=provider),
        )
        self.principal = SwarmService(
            place=SwarmPlace(provider=provider, network=network.id), base=names.base, reader=server.reader
        )
        self.register_outputs({"network": names.network(server)})
