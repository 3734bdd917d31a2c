"""An address in a virtual network for what the internet is closed to, and its name there."""

from __future__ import annotations

from typing import Literal

import pulumi
from pulumi_azure_native import network

from ..core.planned import planned
from .context import AzureContext


def private_endpoint(
    parent: pulumi.ComponentResource,
    what: Literal["vault", "blob"],
    of: pulumi.Output[str],
    context: AzureContext,
) -> None:
    """Where the stack wants one: of `what` of the resource with that id, by Azure's word for it and its DNS zone."""
    closed, names, place = context.settings.network, context.names, context.place
    wanted = closed.private_endpoint if closed else None
    if not wanted:
        return
    endpoint = network.PrivateEndpoint(
        f"{what}-endpoint",
        private_endpoint_name=names.plain(what),
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        subnet=network.SubnetArgs(id=wanted.subnet),
        private_link_service_connections=[
            network.PrivateLinkServiceConnectionArgs(name=what, private_link_service_id=of, group_ids=[what])
        ],
        opts=place.under(parent),
    )
    zone = getattr(wanted.dns_zones, what)
    network.PrivateDnsZoneGroup(
        f"{what}-name",
        private_dns_zone_group_name="default",
        private_endpoint_name=planned(endpoint.name, names.plain(what)),
        resource_group_name=place.group,
        private_dns_zone_configs=[network.PrivateDnsZoneConfigArgs(name=what, private_dns_zone_id=zone)],
        opts=place.under(parent),
    )
