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
from .names import AzureIdentitiesArgs


class DnsZones(Section):
    """Private DNS zones of the virtual network. The stack adds its private endpoints to them."""

    vault: VaultDnsZone
    blob: BlobDnsZone


class PrivateEndpoint(Section):
    """Private endpoints of the key vault and the lease's storage account in a virtual network."""

    subnet: AzureSubnet
    """A subnet for the endpoints. The Container Apps environment needs a different subnet."""
    dns_zones: DnsZones


class VaultNetwork(Section):
    """Networks that may connect to the key vault and the lease's storage account, in addition to the stack's
    containers. All others are denied. With server kubernetes or local, add the egress addresses of the cluster or of
    your machine."""

    addresses: Annotated[tuple[PublicAddresses, ...], AfterValidator(distinct)] = ()
    subnets: Annotated[tuple[AzureSubnet, ...], AfterValidator(distinct)] = ()
    """Subnets with the service endpoints Microsoft.KeyVault and Microsoft.Storage."""
    private_endpoint: PrivateEndpoint | None = None

    def is_way_in(self, own: str | None) -> bool:
        """Return whether this section allows any network other than `own`, the stack's subnet."""
        others = [one for one in self.subnets if (known(one) or "").lower() != (own or "").lower()]
        return bool(self.addresses or others or self.private_endpoint)


class Workspace(Section):
    """An existing Log Analytics workspace, such as the organization's."""

    id: WorkspaceId
    customer_id: WorkspaceCustomerId
    """Workspace id for queries: az monitor log-analytics workspace show --query customerId."""


class AzureStore(StoreSection):
    """A key vault in one resource group of one subscription."""

    kind: Literal["azure"]
    arguments = (AzureIdentitiesArgs,)
    tenant: Guid
    subscription: Guid
    location: AzureLocation
    operators: Annotated[tuple[Guid, ...], Field(min_length=1), AfterValidator(distinct)]
    """Object ids of users who may put and read values. Groups are not accepted, since the log names users."""
    resource_group: ResourceGroup | None = None
    subnet: AzureSubnet | None = None
    network: VaultNetwork | None = None
    open_to_internet: bool = False
    """Allows all networks, instead of those in `network`. Then only roles protect the values."""
    image: Image | None = None
    """The rotator's image; by default the server's, if it has one."""
    registry: Registry | None = None
    zone_redundant: bool = False
    generation: Annotated[int, between(1, 999, "")] = 1
    workspace: Workspace | None = None
    """An existing Log Analytics workspace. You set its retention and readers. By default the stack creates one."""
    retention_days: Annotated[int, between(30, 730, "days, the interactive retention of Log Analytics")] = 365
    """Retention of a new workspace, in days."""
    alert_emails: Annotated[tuple[Email, ...], AfterValidator(distinct)] = ()
    tags: dict[TagName, TagValue] = Field(default_factory=dict, max_length=48)


class ContainerAppServer(ServerSection):
    """The MCP server on Azure Container Apps."""

    kind: Literal["containerapp"]
    # An MCP session lives in one replica, and most MCP clients ignore the cookie for session affinity.
    replicas: ClassVar[int] = 1
    image: Image
    bootstrapped: bool = False
    """Set it to true once the server's secrets have values. A new revision must then be ready before it replaces the
    old one."""
    ingress: Literal["environment", "network"] = "environment"
    """Who can connect. environment: apps in the same environment. network: the whole virtual network of the store's
    subnet."""
    allowed_hosts: Annotated[tuple[HostName, ...], AfterValidator(distinct)] = ()
    """Host names by which MCP clients reach the server, in addition to its name in Container Apps."""
    connection_tools: bool = False
    """Allows tools that change broker and user for all MCP clients."""
