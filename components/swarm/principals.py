"""A Swarm, and the service that the server is in it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from ..core.principals import Place, Principal, Workload

# In a container: what the launcher logs in to a store elsewhere with (a secret of the Swarm, which an operator made),
# and the CA certificates of that store's server.
LOGIN_FILE = "/run/secrets/login/server"
STORE_CA_FILE = "/etc/coreflux-mcp/vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class SwarmPlace(Place):
    """A Docker Swarm, by the provider that talks to a manager of it."""

    network: pulumi.Output[str]
    """Id of the stack's own overlay network."""


@dataclass(frozen=True, kw_only=True)
class SwarmService(Workload, Principal):
    """A service before it is there. It is nobody: what it is given is attached to it."""

    place: SwarmPlace
    base: str
    """What all names of the stack in the Swarm begin with."""
