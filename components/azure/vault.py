"""The key vault, and the storage account with the lease's blob. Key Vault itself has no atomic operation for a
lease."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import keyvault, storage

from ..core.component import planned
from .names import LEASE_CONTAINER
from .network import VaultNetworkArgs, private_endpoint, rules
from .principals import AzureEnvironment

# Days for which a deleted vault can be recovered, and its name is reserved: True for production stacks (Key Vault's
# maximum), False for others (its minimum). It can't be changed for a vault (Azure, Key Vault soft-delete), so changing
# `environment` to or from production requires a new generation.
RECOVERY_DAYS = {True: 90, False: 7}

_SKU = {True: storage.SkuName.STANDARD_ZRS, False: storage.SkuName.STANDARD_LRS}


def vault(
    name: str,
    network: VaultNetworkArgs | None,
    environment: AzureEnvironment,
    *,
    production: bool,
    parent: pulumi.ComponentResource,
) -> pulumi.Output[str]:
    """Declare a vault with role-based access, and with purge protection in production. Return its resource id."""
    place = environment.place
    made = keyvault.Vault(
        f"{name}-vault",
        vault_name=place.names.vault,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        properties=keyvault.VaultPropertiesArgs(
            tenant_id=place.tenant,
            sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            enable_soft_delete=True,
            # Azure accepts only true, which is permanent. Outside of production, vaults must be removable.
            enable_purge_protection=True if production else None,
            soft_delete_retention_in_days=RECOVERY_DAYS[production],
            enabled_for_deployment=False,
            enabled_for_disk_encryption=False,
            enabled_for_template_deployment=False,
            public_network_access="Disabled" if network and network.is_private else "Enabled",
            network_acls=rules(network, environment.args.subnet, address="value", subnet="id"),
        ),
        opts=place.under(parent, protect=production),
    )
    vault_id = planned(made.id, place.names.vault_id)
    private_endpoint("vault", vault_id, network, environment, name=name, parent=parent)
    return vault_id


def lease_account(
    name: str, network: VaultNetworkArgs | None, environment: AzureEnvironment, *, parent: pulumi.ComponentResource
) -> storage.BlobContainer:
    """Declare the blob container for the lease, in a storage account with shared keys disabled. secretops creates the
    blob."""
    place, names = environment.place, environment.place.names
    account = storage.StorageAccount(
        f"{name}-lease-account",
        account_name=names.storage,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        kind=storage.Kind.STORAGE_V2,
        sku=storage.SkuArgs(name=_SKU[environment.args.zone_redundant]),
        allow_shared_key_access=False,  # without shared keys there is no key to leak
        default_to_o_auth_authentication=True,
        allow_blob_public_access=False,
        allow_cross_tenant_replication=False,
        is_local_user_enabled=False,
        enable_https_traffic_only=True,
        minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
        network_rule_set=rules(
            network, environment.args.subnet, address="i_p_address_or_range", subnet="virtual_network_resource_id"
        ),
        opts=place.under(parent),
    )
    account_id = planned(account.id, names.resource_id(f"Microsoft.Storage/storageAccounts/{names.storage}"))
    private_endpoint("blob", account_id, network, environment, name=name, parent=parent)
    return storage.BlobContainer(
        f"{name}-lease-container",
        account_name=planned(account.name, names.storage),
        container_name=LEASE_CONTAINER,
        resource_group_name=place.group,
        public_access=storage.PublicAccess.NONE,
        opts=place.under(parent),
    )
