"""The vault. Its secrets are no resources of the stack: their values would be in the state."""

from __future__ import annotations

import pulumi
from pulumi_azure_native import keyvault

from ..core.planned import planned
from .network import VaultNetworkArgs, private_endpoint
from .principals import AzureEnvironment

# In production, and elsewhere: Key Vault's longest and shortest. A deleted vault has its name for so long. A vault that
# exists never changes it (Azure, Key Vault soft-delete): to become production, or no longer to be, takes another
# generation.
RECOVERY_DAYS = {True: 90, False: 7}


def vault(
    name: str,
    network: VaultNetworkArgs | None,
    environment: AzureEnvironment,
    *,
    production: bool,
    parent: pulumi.ComponentResource,
) -> pulumi.Output[str]:
    """Return the id of a vault whose secrets are read by role alone, and that nobody can purge before its time."""
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
            # Never false: Azure takes only true, and keeps it. A trial has to be removable.
            enable_purge_protection=True if production else None,
            soft_delete_retention_in_days=RECOVERY_DAYS[production],
            enabled_for_deployment=False,
            enabled_for_disk_encryption=False,
            enabled_for_template_deployment=False,
            public_network_access="Disabled" if network and network.is_private else "Enabled",
            network_acls=_rules(network, environment.subnet),
        ),
        opts=place.under(parent, protect=production),
    )
    vault_id = planned(made.id, place.names.vault_id)
    private_endpoint("vault", vault_id, network, environment, name=name, parent=parent)
    return vault_id


def _rules(network: VaultNetworkArgs | None, own: pulumi.Input[str] | None) -> keyvault.NetworkRuleSetArgs:
    if not network:
        return keyvault.NetworkRuleSetArgs(
            default_action=keyvault.NetworkRuleAction.ALLOW, bypass=keyvault.NetworkRuleBypassOptions.NONE
        )
    return keyvault.NetworkRuleSetArgs(
        default_action=keyvault.NetworkRuleAction.DENY,
        bypass=keyvault.NetworkRuleBypassOptions.NONE,
        ip_rules=[keyvault.IPRuleArgs(value=one) for one in network.addresses],
        virtual_network_rules=network.subnet_rules(own, lambda one: keyvault.VirtualNetworkRuleArgs(id=one)),
    )
