"""The names of everything in the subscription, and the arguments they depend on. A preview knows them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from ..core.naming import stack_name

BASE = "coreflux"

PENDING = "-pending"
"""What the name of the secret ends with in which a value lies that is not proven yet."""

LEASE_CONTAINER, LEASE_BLOB = "coreflux-mcp", "rotator"

_VAULT_STACK, _STORAGE_STACK, _PLAIN_STACK = 6, 8, 12
"""Characters that leave room for the rest: a vault's and a storage account's name have 24, an app's and a job's 32."""


@dataclass(frozen=True, kw_only=True)
class Names:
    """Of one stack in one subscription."""

    stack: str
    subscription: str
    resource_group: str | None = None
    generation: int = 1
    """Counted up for vault, storage account and workspace of new names, while deleted ones still hold theirs."""

    @property
    def group(self) -> str:
        """The resource group, the stack's own or the one that is named."""
        return self.resource_group or f"{BASE}-mcp-{_cut(self.stack, 60)}"

    @property
    def vault(self) -> str:
        """Of the vault. All subscriptions of the world share these names: a hash tells this one from others'."""
        return f"{BASE}-{_cut(self.stack, _VAULT_STACK)}-{self._digest}"

    @property
    def vault_id(self) -> str:
        """The vault's resource id, as Azure will have it."""
        return self.resource_id(f"Microsoft.KeyVault/vaults/{self.vault}")

    @property
    def job_id(self) -> str:
        """The resource id of the job that ticks each hour."""
        return self.resource_id(f"Microsoft.App/jobs/{self.job}")

    @property
    def lease_container_id(self) -> str:
        """The resource id of the container of the lease's blob."""
        path = f"storageAccounts/{self.storage}/blobServices/default/containers/{LEASE_CONTAINER}"
        return self.resource_id(f"Microsoft.Storage/{path}")

    def resource_id(self, path: str) -> str:
        """Return the id of a resource of the group. `path` is its provider, type and name."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{path}"

    @property
    def vault_host(self) -> str:
        """Where the vault answers, in Azure's public cloud."""
        return f"{self.vault}.vault.azure.net"

    @property
    def storage(self) -> str:
        """Of the storage account: small letters and digits alone, shared by the world as well."""
        return f"{BASE}{_cut(self.stack, _STORAGE_STACK).replace('-', '')}{self._digest}"

    @property
    def workspace(self) -> str:
        """Of the trail. A deleted one is kept for 14 days, and comes back to whoever makes it again by its name."""
        return f"{self.plain('trail')}-{self._digest}"

    @property
    def lease(self) -> str:
        """The URL of the blob whose lease whoever rotates holds."""
        return f"https://{self.storage}.blob.core.windows.net/{LEASE_CONTAINER}/{LEASE_BLOB}"

    def plain(self, what: str) -> str:
        """Of everything that is named within its resource group: small letters, digits and dashes, 32 at most."""
        stack = _cut(self.stack, _PLAIN_STACK)
        short = stack if stack == self.stack else f"{_cut(stack, _PLAIN_STACK - 5)}-{_hash(self.stack)[:4]}"
        return f"{BASE}-{short}-{what}"

    @property
    def job(self) -> str:
        """Of the job that ticks each hour."""
        return self.plain("rotator")

    @property
    def _digest(self) -> str:
        return _hash(f"{self.subscription}/{self.group}/{self.stack}/{self.generation}")


@dataclass(frozen=True, kw_only=True)
class AzureIdentitiesArgs:
    """Arguments of AzureIdentities."""

    tenant: str
    """The Entra tenant, a GUID."""
    subscription: str
    """The subscription of all resources, a GUID."""
    location: str
    """The region of all resources, such as westeurope."""
    stack: str | None = None
    """What the names of resources contain; by default the name of the Pulumi stack."""
    generation: int = 1
    """Increase it to deploy a destroyed stack again while its deleted vault or workspace still has the name."""
    resource_group: str | None = None
    """Name of a resource group that exists; by default one is made."""
    subnet: pulumi.Input[str] | None = None
    """Resource id of the subnet of the Container Apps environment, delegated to it; by default Azure's own network."""
    registry: pulumi.Input[str] | None = None
    """Resource id of the Azure container registry of the images; by default images are pulled without a login."""
    zone_redundant: bool = False
    """Whether environment and lease are spread over the zones of the location. Azure takes it for new ones alone."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags of each resource, in addition to project and stack."""

    @property
    def names(self) -> Names:
        """Return the names of everything in the subscription."""
        return Names(
            stack=stack_name(self.stack),
            subscription=self.subscription,
            resource_group=self.resource_group,
            generation=self.generation,
        )


def _cut(stack: str, limit: int) -> str:
    """What a person knows the stack by: no dash at its ends, none twice."""
    return re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-")[:limit].strip("-") or "stack"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
