"""The sections of a stack file about Azure: what they may say, and the default for what they do not."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field

from ..settings.constraints import between, distinct
from ..settings.field_types import Email, HostName, Image, TagValue
from ..settings.outputs import known
from ..settings.section import Section, ServerSection, StoreSection
from .field_types import (
    AzureLocation,
    AzureSubnet,
    BlobDnsZone,
    Guid,
    PublicAddresses,
    Registry,
    ResourceGroup,
    TagName,
    VaultDnsZone,
    WorkspaceCustomerId,
    WorkspaceId,
)


class DnsZones(Section):
    """Private DNS zones: a virtual network asks them for names, and those of its private endpoints are put there."""

    vault: VaultDnsZone
    blob: BlobDnsZone


class PrivateEndpoint(Section):
    """Where vault and lease have an address in a virtual network. Both: without the lease nobody puts a value."""

    subnet: AzureSubnet
    """Not the one of the Container Apps environment: that is delegated to it."""
    dns_zones: DnsZones


class VaultNetwork(Section):
    """From where vault and lease are reached, beside the stack's own containers. From everywhere else they are not:
    with server kubernetes or local the way out of the cluster or of that machine has to be in it, too."""

    addresses: Annotated[tuple[PublicAddresses, ...], AfterValidator(distinct)] = ()
    subnets: Annotated[tuple[AzureSubnet, ...], AfterValidator(distinct)] = ()
    """Each with the service endpoints Microsoft.KeyVault and Microsoft.Storage."""
    private_endpoint: PrivateEndpoint | None = None

    @property
    def is_private(self) -> bool:
        """Whether private endpoints are the one way in."""
        return bool(self.private_endpoint and not self.addresses and not self.subnets)

    def is_way_in(self, own: str | None) -> bool:
        """Whether anybody is let in but the containers in the stack's `own` subnet."""
        others = [one for one in self.subnets if (known(one) or "").lower() != (own or "").lower()]
        return bool(self.addresses or others or self.private_endpoint)


class Workspace(Section):
    """An existing Log Analytics workspace, for example the organization's."""

    id: WorkspaceId
    customer_id: WorkspaceCustomerId
    """The id that queries name it by: az monitor log-analytics workspace show --query customerId."""


class AzureStore(StoreSection):
    """A key vault in one resource group of one subscription."""

    kind: Literal["azure"]
    tenant: Guid
    subscription: Guid
    location: AzureLocation
    operators: Annotated[tuple[Guid, ...], Field(min_length=1), AfterValidator(distinct)]
    """Object ids of users who put and read values. No groups: the trail names who is in one, and not the group."""
    resource_group: ResourceGroup | None = None
    """One that exists; without it one is made."""
    subnet: AzureSubnet | None = None
    """Of the Container Apps environment, delegated to it; without it they are in Azure's own network."""
    network: VaultNetwork | None = None
    """Closes vault and lease to every network that it does not name."""
    open_to_internet: bool = False
    """True leaves vault and lease open to every network, so that roles alone guard them. It replaces `network`."""
    image: Image | None = None
    """The rotator's; without it the server's, where that has one."""
    registry: Registry | None = None
    """Whence Container Apps takes the image as an identity of the stack's; without it, of one that asks nobody."""
    zone_redundant: bool = False
    """True spreads environment and lease over the zones of the location. Azure takes it for new ones alone."""
    generation: Annotated[int, between(1, 999, "")] = 1
    """One more where a destroyed stack is made anew while its deleted vault or workspace still holds the name."""
    workspace: Workspace | None = None
    """Where the trail goes; without it the stack makes one. You set its retention and its readers."""
    retention_days: Annotated[int, between(30, 730, "days: what Log Analytics keeps at hand")] = 365
    """Of the workspace that the stack makes."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()
    tags: dict[TagName, TagValue] = Field(default_factory=dict, max_length=48)
    """Tags of each resource, in addition to project and stack."""


class ContainerAppServer(ServerSection):
    """The MCP server on Azure Container Apps."""

    kind: Literal["containerapp"]
    replicas: ClassVar[int] = 1
    """An MCP session lives in one replica, and most clients keep no cookie by which that is found again. Container Apps
    starts another where that one ends."""
    image: Image
    bootstrapped: bool = False
    """Whether its secrets have their first values. A new revision then has to be ready before it takes over, which none
    is without them."""
    ingress: Literal["environment", "network"] = "environment"
    """Who reaches it: other apps of its environment, or all of the virtual network that the store's subnet is of."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Names that clients call it by, beside the one that Container Apps gives it."""
    connection_tools: bool = False
    """Whether MCP clients may choose the broker and user of all clients, with the server's connection tools."""
