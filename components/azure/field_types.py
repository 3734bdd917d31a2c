from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator

from ..settings.constraints import (
    GUID,
    IPV4,
    matching,
    parse_guid,
    parsed,
    public_addresses,
    validator,
    whole,
)
from ..settings.outputs import MayBeOutput

Guid = Annotated[
    str,
    parsed(
        parse_guid,
        "a GUID",
        "az account show shows subscription and tenant; az ad signed-in-user show --query id prints your object id",
        is_id=True,
        keywords=whole(GUID),
    ),
]
WorkspaceCustomerId = Annotated[
    str,
    parsed(
        parse_guid,
        "a GUID: the workspace id",
        "az monitor log-analytics workspace show -g GROUP -n NAME --query customerId shows the id",
        is_id=True,
        keywords=whole(GUID),
    ),
    MayBeOutput(),
]

AzureLocation = Annotated[
    str,
    matching(
        r"[a-z0-9]{3,30}",
        "a region's short name",
        "for example westeurope; az account list-locations shows all regions",
    ),
]

# The name of a resource group may have letters and digits of every script, unlike other names.
_GROUP = r"(?u:[\w().-]{0,89}[\w()-])"
ResourceGroup = Annotated[
    str,
    matching(_GROUP, "a resource group's name", "correct the name; or remove the key, and the stack creates a group"),
]


def _arm_id(kind: str, what: str, name: str = "*") -> AfterValidator:
    """Return a validator for the resource id of `what`. `kind` is the id's provider and resource types, with a `*` for
    each name between them.

    Azure ignores the case of provider and types; the validated id has Azure's documented spelling.
    """
    words = f"/subscriptions/GUID/resourceGroups/GROUP/providers/{kind}/{name}".split("/")

    def parse(text: str) -> str:
        return "/".join(_segment(word, part) for word, part in zip(words, text.split("/"), strict=True))

    return parsed(
        parse,
        f"the resource id of {what}",
        "copy the id from Azure (Properties, Resource ID); the id begins with /subscriptions/",
        keywords=whole("/".join({"GUID": GUID, "*": r"\w[\w.-]{0,79}"}.get(word, "[^/]*") for word in words)),
    )


def _segment(word: str, part: str) -> str:
    match word:
        case "GUID":
            return parse_guid(part)
        case "GROUP" | "*":
            if not re.fullmatch(_GROUP if word == "GROUP" else r"\w[\w.-]{0,79}", part, re.ASCII):
                raise ValueError
            return part
        case _:
            if part.casefold() != word.casefold():
                raise ValueError
            return word


def _dns_zone(name: str) -> AfterValidator:
    return _arm_id("Microsoft.Network/privateDnsZones", f"the private DNS zone {name}", name)


AzureSubnet = Annotated[str, _arm_id("Microsoft.Network/virtualNetworks/*/subnets", "a subnet"), MayBeOutput()]
VaultDnsZone = Annotated[str, _dns_zone("privatelink.vaultcore.azure.net"), MayBeOutput()]
BlobDnsZone = Annotated[str, _dns_zone("privatelink.blob.core.windows.net"), MayBeOutput()]
WorkspaceId = Annotated[
    str, _arm_id("Microsoft.OperationalInsights/workspaces", "a Log Analytics workspace"), MayBeOutput()
]
Registry = Annotated[
    str, _arm_id("Microsoft.ContainerRegistry/registries", "an Azure container registry"), MayBeOutput()
]
# Limits of tags: https://learn.microsoft.com/azure/azure-resource-manager/management/tag-resources. Azure ignores the
# case of their names.
TagName = Annotated[
    str,
    matching(
        r"(?!(?i:project|stack)$)[\w .:=+@-]{1,128}",
        "a name of a tag: at most 128 letters, digits, spaces, and . : = + @ - _; not project or stack, which the "
        "stack sets",
        "for example cost-center",
    ),
]
PublicAddresses = Annotated[str, validator(public_addresses, whole(rf"{IPV4}(/([89]|[12][0-9]|30))?"))]
