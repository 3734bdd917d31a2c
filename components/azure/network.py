from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pulumi
from pulumi_azure_native import network

from ..core.component import planned
from .principals import AzureEnvironment


@dataclass(frozen=True, kw_only=True)
class DnsZonesArgs:
    vault: pulumi.Input[str]
    """Resource id of the zone privatelink.vaultcore.azure.net."""
    blob: pulumi.Input[str]
    """Resource id of the zone privatelink.blob.core.windows.net."""


@dataclass(frozen=True, kw_only=True)
class PrivateEndpointArgs:
    subnet: pulumi.Input[str]
    """Resource id of a subnet for the endpoints. The Container Apps environment needs a different subnet."""
    dns_zones: DnsZonesArgs


@dataclass(frozen=True, kw_only=True)
class VaultNetworkArgs:
    """Networks that may connect to the key vault and the lease's storage account, in addition to the stack's
    containers. All others are denied."""

    addresses: Sequence[str] = ()
    """Public IP addresses and CIDR ranges."""
    subnets: Sequence[pulumi.Input[str]] = ()
    """Resource ids of subnets, which need the service endpoints Microsoft.KeyVault and Microsoft.Storage."""
    private_endpoint: PrivateEndpointArgs | None = None

    @property
    def is_private(self) -> bool:
        """Return whether clients can connect only through private endpoints."""
        return bool(self.private_endpoint and not self.addresses and not self.subnets)


def rules(wanted: VaultNetworkArgs | None, own: pulumi.Input[str] | None, *, address: str, subnet: str) -> Any:
    """Return network rules that allow the `wanted` networks and `own`, the stack's subnet. If `wanted` is None, they
    allow all networks.

    `address` and `subnet` are the names of the rules' keys, which differ between vaults and storage accounts.
    """
    if not wanted:
        return {"default_action": "Allow", "bypass": "None"}
    ids = [] if wanted.is_private else [*([own] if own else []), *wanted.subnets]
    return {
        "default_action": "Deny",
        "bypass": "None",
        "ip_rules": [{address: one} for one in wanted.addresses],
        "virtual_network_rules": pulumi.Output.all(*ids).apply(
            lambda known: [{subnet: one} for one in dict.fromkeys(known)]
        ),
    }


def private_endpoint(
    what: Literal["vault", "blob"],
    of: pulumi.Output[str],
    wanted: VaultNetworkArgs | None,
    environment: AzureEnvironment,
    *,
    name: str,
    parent: pulumi.ComponentResource,
) -> None:
    """Declare a private endpoint for the resource with the id `of`, if `wanted` defines one. `what` is the endpoint's
    group id in Azure."""
    if not wanted or not wanted.private_endpoint:
        return
    place = environment.place
    called, zones = place.names.plain(what), wanted.private_endpoint.dns_zones
    endpoint = network.PrivateEndpoint(
        f"{name}-{what}-endpoint",
        private_endpoint_name=called,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        subnet=network.SubnetArgs(id=wanted.private_endpoint.subnet),
        private_link_service_connections=[
            network.PrivateLinkServiceConnectionArgs(name=what, private_link_service_id=of, group_ids=[what])
        ],
        opts=place.under(parent),
    )
    zone = zones.vault if what == "vault" else zones.blob
    network.PrivateDnsZoneGroup(
        f"{name}-{what}-name",
        private_dns_zone_group_name="default",
        private_endpoint_name=planned(endpoint.name, called),
        resource_group_name=place.group,
        private_dns_zone_configs=[network.PrivateDnsZoneConfigArgs(name=what, private_dns_zone_id=zone)],
        opts=place.under(parent),
    )
