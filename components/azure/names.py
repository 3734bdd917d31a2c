"""Names and arguments of resources in Azure. The names are computed, so that previews know them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import pulumi

from ..core.naming import stack_name

BASE = "coreflux"

# Suffix of the secret with the pending value.
PENDING = "-pending"

LEASE_CONTAINER, LEASE_BLOB = "coreflux-mcp", "rotator"

# Maximum number of characters of the stack's name in other names: names of vaults and storage accounts have at most 24
# characters, names of apps and jobs 32.
_VAULT_STACK, _STORAGE_STACK, _PLAIN_STACK = 6, 8, 12


@dataclass(frozen=True, kw_only=True)
class Names:
    stack: str
    subscription: str
    resource_group: str | None = None
    generation: int = 1
    """Number within the names of vault, storage account and workspace."""

    @property
    def group(self) -> str:
        return self.resource_group or f"{BASE}-mcp-{_cut(self.stack, 60)}"

    @property
    def vault(self) -> str:
        """Return the vault's name. It contains a hash, since vault names must be unique across all of Azure."""
        return f"{BASE}-{_cut(self.stack, _VAULT_STACK)}-{self._digest}"

    @property
    def vault_id(self) -> str:
        return self.resource_id(f"Microsoft.KeyVault/vaults/{self.vault}")

    @property
    def job_id(self) -> str:
        return self.resource_id(f"Microsoft.App/jobs/{self.job}")

    @property
    def lease_container_id(self) -> str:
        path = f"storageAccounts/{self.storage}/blobServices/default/containers/{LEASE_CONTAINER}"
        return self.resource_id(f"Microsoft.Storage/{path}")

    def resource_id(self, path: str) -> str:
        """Return the id of a resource in the resource group. `path` is its provider, type and name."""
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}/providers/{path}"

    @property
    def vault_host(self) -> str:
        return f"{self.vault}.vault.azure.net"

    @property
    def storage(self) -> str:
        """Return the storage account's name. It must be unique across all of Azure, and have only lower-case letters
        and digits."""
        return f"{BASE}{_cut(self.stack, _STORAGE_STACK).replace('-', '')}{self._digest}"

    @property
    def workspace(self) -> str:
        """Return the workspace's name. Each generation has another name: Azure would restore a workspace of the same
        name that was deleted in the last 14 days."""
        return f"{self.plain('trail')}-{self._digest}"

    @property
    def lease(self) -> str:
        return f"https://{self.storage}.blob.core.windows.net/{LEASE_CONTAINER}/{LEASE_BLOB}"

    def plain(self, what: str) -> str:
        """Return a resource's name: the stack's name, then `what`. It is unique only within the resource group, and has
        at most 32 lower-case letters, digits and dashes."""
        stack = _cut(self.stack, _PLAIN_STACK)
        short = stack if stack == self.stack else f"{_cut(stack, _PLAIN_STACK - 5)}-{_hash(self.stack)[:4]}"
        return f"{BASE}-{short}-{what}"

    @property
    def job(self) -> str:
        return self.plain("rotator")

    @property
    def _digest(self) -> str:
        return _hash(f"{self.subscription}/{self.group}/{self.stack}/{self.generation}")


@dataclass(frozen=True, kw_only=True)
class AzureIdentitiesArgs:
    tenant: str
    """Entra tenant id."""
    subscription: str
    """Subscription id."""
    location: str
    """Azure region, such as westeurope."""
    stack: str | None = None
    """Stack name within resource names; by default Pulumi's."""
    generation: int = 1
    """Increase it to redeploy a destroyed stack while the names of its deleted vault and workspace are still
    reserved."""
    resource_group: str | None = None
    """An existing resource group; by default a group is created."""
    subnet: pulumi.Input[str] | None = None
    """A subnet that is delegated to Container Apps. By default the environment is in Azure's own network."""
    registry: pulumi.Input[str] | None = None
    """The registry with the images; by default images are pulled without a login."""
    zone_redundant: bool = False
    """Whether Container Apps and the lease's storage are zone-redundant. Azure cannot change this for existing
    resources."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """Tags in addition to project and stack."""

    @property
    def names(self) -> Names:
        return Names(
            stack=stack_name(self.stack),
            subscription=self.subscription,
            resource_group=self.resource_group,
            generation=self.generation,
        )


def _cut(stack: str, limit: int) -> str:
    return re.sub(r"[^a-z0-9]+", "-", stack.lower()).strip("-")[:limit].strip("-") or "stack"


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:8]
