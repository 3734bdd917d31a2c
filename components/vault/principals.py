"""Who reads a Vault and who rotates, by roles of an auth method."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi

from secretops.platforms.vault.location import VaultLogin

from ..core.principals import HostUser, Place, Pods, Principal
from ..swarm.principals import SwarmService


@dataclass(frozen=True, kw_only=True)
class VaultPlace(Place):
    """A Vault server, or a namespace of one, and the provider that talks to it."""

    address: str
    namespace: str


@dataclass(frozen=True, kw_only=True)
class VaultRole:
    """A role of an auth method: whoever logs in by it has the policy of its name."""

    place: VaultPlace
    name: str
    login: VaultLogin
    """How a program takes the role: the method, and the file that it shows."""
    audience: str | None
    """Whom a token is for that is shown; None is a cluster's API server, or no token at all."""


@dataclass(frozen=True, kw_only=True)
class VaultReader(Principal):
    """Whoever reads for the server, and beside it who rotates: Vault runs nobody's programs, so both are elsewhere."""

    reads: VaultRole
    rotates: VaultRole
    workload: HostUser | Pods | SwarmService
    syncs_as: pulumi.Output[str] | None = None
    """The service account that reads in place of the pods', to copy secrets into their namespace."""
