"""The vault, and who reaches it. What lies in it is no resource of the stack: its value would be in the state."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import keyvault

from ..core.planned import planned
from .context import AzureContext
from .private_endpoint import private_endpoint
from .settings import AzureStore

RECOVERY_DAYS = {True: 90, False: 7}
"""In production, and elsewhere: Key Vault's longest and shortest. For so long a deleted vault holds its name. It can't
be changed of a vault that is there (Azure, Key Vault soft-delete): a stack that becomes production, or no longer is,
takes another generation."""


def vault(parent: pulumi.ComponentResource, context: AzureContext) -> pulumi.Output[str]:
    """Return the id of a vault whose secrets are read by role alone, and that nobody can purge before its time."""
    store, names, place, production = context.settings, context.names, context.place, context.production
    made = keyvault.Vault(
        "vault",
        vault_name=names.vault,
        resource_group_name=place.group,
        location=place.location,
        tags=place.tags,
        properties=keyvault.VaultPropertiesArgs(
            tenant_id=place.tenant,
            sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            enable_soft_delete=True,
            # Never false: Azure takes only true, and keeps it. A trial has to be removable.
            enable_purge_protection=True if production else None,
            soft_delete_retention_in_days=RECOVERY_DAYS[production],
            enabled_for_deployment=False,
            enabled_for_disk_encryption=False,
            enabled_for_template_deployment=False,
            public_network_access="Disabled" if store.network and store.network.is_private else "Enabled",
            network_acls=_rules(store),
        ),
        opts=place.under(parent, protect=production),
    )
    vault_id = planned(made.id, names.vault_id)
    private_endpoint(parent, "vault", vault_id, context)
    return vault_id


def reaching(store: AzureStore) -> tuple[str, ...]:
    """Subnets that reach what `network` closes by a service endpoint: the stack's own, and those that are named."""
    if store.network and store.network.is_private:
        return ()
    named = store.network.subnets if store.network else ()
    return tuple(dict.fromkeys([*([store.subnet] if store.subnet else []), *named]))


def _rules(store: AzureStore) -> keyvault.NetworkRuleSetArgs:
    if not store.network:
        return keyvault.NetworkRuleSetArgs(
            default_action=keyvault.NetworkRuleAction.ALLOW, bypass=keyvault.NetworkRuleBypassOptions.NONE
        )
    return keyvault.NetworkRuleSetArgs(
        default_action=keyvault.NetworkRuleAction.DENY,
        bypass=keyvault.NetworkRuleBypassOptions.NONE,
        ip_rules=[keyvault.IPRuleArgs(value=one) for one in store.network.addresses],
        virtual_network_rules=[keyvault.VirtualNetworkRuleArgs(id=one) for one in reaching(store)],
    )
