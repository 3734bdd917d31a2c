"""What the entries of Azure's sections may be, in a stack file."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

from components.constraints import matching, public_addresses

Guid = Annotated[
    str,
    matching(
        r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        "a GUID in lower case",
        "az account show has subscription and tenant, az ad signed-in-user show your own object id",
    ),
]
AzureLocation = Annotated[
    str, matching(r"[a-z]+[a-z0-9]*", "an Azure region's name", "write it like westeurope; az account list-locations")
]
ResourceGroup = Annotated[
    str,
    matching(r"[\w().-]{0,89}[\w()-]", "a resource group's name", "take it out, and the stack makes one"),
]


def _arm_id(kind: str, what: str, name: str = "*") -> AfterValidator:
    """A resource id, as Azure writes it. `kind` is its provider and types, with a `*` for each name between."""
    path = f"{kind}/{name}".replace(".", r"\.").replace("*", r"[^/\s]+")
    return matching(
        rf"/subscriptions/[0-9a-f-]{{36}}/resourceGroups/[^/\s]+/providers/{path}",
        f"the resource id of {what}",
        "copy it from Azure (Properties, Resource ID); it begins with /subscriptions/",
    )


def _dns_zone(name: str) -> AfterValidator:
    """Of a private endpoint. Each service has one of a name that Azure gives."""
    return _arm_id("Microsoft.Network/privateDnsZones", f"the private DNS zone {name}", name)


AzureSubnet = Annotated[str, _arm_id("Microsoft.Network/virtualNetworks/*/subnets", "a subnet")]
VaultDnsZone = Annotated[str, _dns_zone("privatelink.vaultcore.azure.net")]
BlobDnsZone = Annotated[str, _dns_zone("privatelink.blob.core.windows.net")]
QueueDnsZone = Annotated[str, _dns_zone("privatelink.queue.core.windows.net")]
Registry = Annotated[str, _arm_id("Microsoft.ContainerRegistry/registries", "an Azure container registry")]
PublicAddresses = Annotated[str, AfterValidator(public_addresses)]
