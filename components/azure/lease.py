"""The storage account of the lease: whoever rotates holds a blob's, because Key Vault has no compare-and-swap."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import storage

from ..core.planned import planned
from .context import AzureContext
from .names import LEASE_CONTAINER
from .private_endpoint import private_endpoint
from .settings import AzureStore
from .vault import reaching

_SKU = {True: storage.SkuName.STANDARD_ZRS, False: storage.SkuName.STANDARD_LRS}


def lease_account(parent: pulumi.ComponentResource, context: AzureContext) -> storage.BlobContainer:
    """Return the container of an account without keys. secretops makes the blob, which holds no value."""
    store, names, place = context.settings, context.names, context.place
    account = storage.StorageAccount(
        "lease-account",
        account_name=names.storage,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        kind=storage.Kind.STORAGE_V2,
        sku=storage.SkuArgs(name=_SKU[store.zone_redundant]),
        allow_shared_key_access=False,  # roles alone: there is no key to leak
        default_to_o_auth_authentication=True,
        allow_blob_public_access=False,
        allow_cross_tenant_replication=False,
        is_local_user_enabled=False,
        enable_https_traffic_only=True,
        minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
        network_rule_set=_rules(store),
        opts=place.under(parent),
    )
    account_id = planned(account.id, names.resource_id(f"Microsoft.Storage/storageAccounts/{names.storage}"))
    private_endpoint(parent, "blob", account_id, context)
    return storage.BlobContainer(
        "lease-container",
        account_name=planned(account.name, names.storage),
        container_name=LEASE_CONTAINER,
        resource_group_name=place.group,
        public_access=storage.PublicAccess.NONE,
        opts=place.under(parent),
    )


def _rules(store: AzureStore) -> storage.NetworkRuleSetArgs:
    if not store.network:
        return storage.NetworkRuleSetArgs(default_action=storage.DefaultAction.ALLOW, bypass=storage.Bypass.NONE)
    return storage.NetworkRuleSetArgs(
        default_action=storage.DefaultAction.DENY,
        bypass=storage.Bypass.NONE,
        ip_rules=[storage.IPRuleArgs(i_p_address_or_range=one) for one in store.network.addresses],
        virtual_network_rules=[
            storage.VirtualNetworkRuleArgs(virtual_network_resource_id=one) for one in reaching(store)
        ],
    )
