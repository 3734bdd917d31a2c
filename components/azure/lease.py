"""The storage account of the lease, which a rotator holds of a blob: Key Vault has no compare-and-swap."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import storage

from ..core.planned import planned
from .names import LEASE_CONTAINER
from .network import VaultNetworkArgs, private_endpoint
from .principals import AzureEnvironment

_SKU = {True: storage.SkuName.STANDARD_ZRS, False: storage.SkuName.STANDARD_LRS}


def lease_account(
    name: str, network: VaultNetworkArgs | None, environment: AzureEnvironment, *, parent: pulumi.ComponentResource
) -> storage.BlobContainer:
    """Return the container of an account without keys. secretops makes the blob, which has no value."""
    place, names = environment.place, environment.place.names
    account = storage.StorageAccount(
        f"{name}-lease-account",
        account_name=names.storage,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        kind=storage.Kind.STORAGE_V2,
        sku=storage.SkuArgs(name=_SKU[environment.zone_redundant]),
        allow_shared_key_access=False,  # roles alone: there is no key to leak
        default_to_o_auth_authentication=True,
        allow_blob_public_access=False,
        allow_cross_tenant_replication=False,
        is_local_user_enabled=False,
        enable_https_traffic_only=True,
        minimum_tls_version=storage.MinimumTlsVersion.TLS1_2,
        network_rule_set=_rules(network, environment.subnet),
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


def _rules(network: VaultNetworkArgs | None, own: pulumi.Input[str] | None) -> storage.NetworkRuleSetArgs:
    if not network:
        return storage.NetworkRuleSetArgs(default_action=storage.DefaultAction.ALLOW, bypass=storage.Bypass.NONE)
    return storage.NetworkRuleSetArgs(
        default_action=storage.DefaultAction.DENY,
        bypass=storage.Bypass.NONE,
        ip_rules=[storage.IPRuleArgs(i_p_address_or_range=one) for one in network.addresses],
        virtual_network_rules=network.subnet_rules(
            own, lambda one: storage.VirtualNetworkRuleArgs(virtual_network_resource_id=one)
        ),
    )
