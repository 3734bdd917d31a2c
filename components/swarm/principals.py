"""A Swarm, and the server's service in it."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from ..core.principals import Place, Principal, Workload

# In a container: the launcher's login to another store, and the CA certificates of that store's server.
LOGIN_FILE = "/run/secrets/login/server"
STORE_CA_FILE = "/etc/coreflux-mcp/vault-ca.crt"


@dataclass(frozen=True, kw_only=True)
class SwarmPlace(Place):
    """A Docker Swarm, by the provider of a manager."""

    network: pulumi.Output[str]
    """Id of the stack's overlay network."""


@dataclass(frozen=True, kw_only=True)
class SwarmService(Workload, Principal):
    """A service before it exists. It has no identity: its secrets are mounted."""

    place: SwarmPlace
    base: str
    """Prefix of the stack's names in the Swarm."""
