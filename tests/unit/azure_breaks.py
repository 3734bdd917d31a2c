"""What breaks a rule for Azure: one thing a row."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from policies.rule import Plan
from tests.unit import azure_stack
from tests.unit.aws_breaks import NO_VALUE, PRIVATE_KEY
from tests.unit.azure_ids import SUBSCRIPTION
from tests.unit.policy_plans import Break, added, plan_of, row, shipped, without

GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/plant"
OWNER = "8e3af657-a8ff-443c-a75c-2fe8c4bcb635"
OPERATORS = f"operator-{azure_stack.OPERATOR}-keeps-secrets"


def prod() -> Plan:
    return shipped("prod-azure")


def pods() -> Plan:
    return shipped("prod-azure-kubernetes")


@cache
def everything() -> Plan:
    """With each option that adds something."""
    return plan_of(azure_stack.with_every_option(), "prod")


@cache
def private() -> Plan:
    """Closed to the internet altogether."""
    network = f'subnet: "{azure_stack.SUBNET}", network: {{private_endpoint: {azure_stack.ENDPOINT}}}'
    return plan_of(azure_stack.on_azure(f", {network}"), "prod")


def gone(rule: str, what: str, *, plan: Callable[[], Plan] = prod, also: str = "") -> Break:
    """Something that is not there."""
    return Break(rule=rule, plan=plan, change=without(what), also=frozenset(also.split()))


def of_vault(rule: str, *path: str, to: Any, plan: Callable[[], Plan] = prod, also: str = "") -> Break:
    """A property of the vault."""
    return row(rule, plan, "vault", "properties", *path, to=to, also=also)


def unheard(rule: str, alert: str) -> list[Break]:
    """The alert is deaf in four ways: to what it is for, the other way round, off, and with nobody to tell."""
    return [
        row(rule, prod, alert, "criteria", "allOf", 0, "query", to="Heartbeat"),
        row(rule, prod, alert, "criteria", "allOf", 0, "operator", to="Equal"),
        row(rule, prod, alert, "enabled", to=False),
        row(rule, prod, alert, "actions", "actionGroups", to=[]),
    ]


OF_VAULT = (
    gone("azure-storage-closed", "azure-native:storage:StorageAccount"),
    gone("azure-reads-recorded", "azure-native:keyvault:Vault"),
    gone("azure-trail-kept", "azure-native:operationalinsights:Workspace"),
    of_vault("azure-vault-by-role", "enableRbacAuthorization", to=False),
    of_vault("azure-vault-by-role", "enableRbacAuthorization", to=None),
    of_vault("azure-vault-by-role", "accessPolicies", to=[{"objectId": "any", "permissions": {"secrets": ["all"]}}]),
    *(
        of_vault("azure-vault-by-role", what, to=True)
        for what in ("enabledForDeployment", "enabledForDiskEncryption", "enabledForTemplateDeployment")
    ),
    of_vault("azure-vault-recovers", "enableSoftDelete", to=False),
    of_vault("azure-vault-recovers", "enablePurgeProtection", to=None),
    of_vault("azure-vault-recovers", "softDeleteRetentionInDays", to=7),
    of_vault("azure-network-closed-wholly", "networkAcls", "bypass", to="AzureServices", plan=everything),
    of_vault("azure-network-closed-wholly", "networkAcls", "ipRules", to=[{"value": "0.0.0.0/0"}], plan=everything),
    of_vault("azure-network-closed-wholly", "networkAcls", "ipRules", to=[{"value": "nowhere"}], plan=everything),
    of_vault("azure-network-closed-wholly", "networkAcls", "defaultAction", to="Allow", plan=everything),
    of_vault("azure-network-closed-wholly", "networkAcls", "defaultAction", to="Allow", plan=private),
    row("azure-network-closed-wholly", everything, "lease-account", "networkRuleSet", "defaultAction", to="Allow"),
    row("azure-network-closed-wholly", private, "lease-account", "networkRuleSet", to=None),
    row(
        *("azure-network-closed-wholly", everything, "lease-account", "networkRuleSet", "ipRules"),
        to=[{"iPAddressOrRange": "128.0.0.0/1"}],
    ),
    row("azure-private-endpoints-named", private, "vault-name", "privateEndpointName", to="another"),
    row("azure-private-endpoints-named", private, "vault-name", "privateDnsZoneConfigs", to=[]),
    gone("azure-private-endpoints-named", "queue-name", plan=private),
)

OF_ROLES = (
    row("azure-roles-narrow", prod, "rotator-leases", "roleDefinitionId", to=f"{GROUP}/roleDefinitions/{OWNER}"),
    row("azure-roles-narrow", prod, "rotator-leases", "description", to=None),
    Break(
        rule="azure-roles-narrow",
        plan=prod,
        change=added("azure-native:authorization:RoleDefinition", {"permissions": [{"actions": ["*"]}]}),
        also=frozenset({"azure-subscription-named"}),
    ),
    row("azure-roles-scoped", prod, "server-reads-mqtt", "scope", to=f"{GROUP}/providers/Microsoft.KeyVault/vaults/v"),
    row("azure-roles-scoped", prod, "rotator-keeps-mqtt", "scope", to=f"{GROUP}/providers/Microsoft.KeyVault/vaults/v"),
    row("azure-roles-scoped", prod, OPERATORS, "scope", to=GROUP),
    row("azure-roles-scoped", prod, OPERATORS, "principalType", to="ServicePrincipal", unknown=False),
    row(
        *("azure-roles-scoped", prod, "rotator-leases", "scope"),
        to=f"{GROUP}/providers/Microsoft.Storage/storageAccounts/a",
    ),
    row(
        *("azure-roles-scoped", prod, f"operator-{azure_stack.OPERATOR}-leases", "scope"),
        to=f"{GROUP}/providers/Microsoft.Storage/storageAccounts/a",
    ),
    row("azure-roles-scoped", prod, "platform-pulls", "scope", to=f"/subscriptions/{SUBSCRIPTION}"),
    row("azure-federation-bound", pods, "sync-federation", "subject", to="system:serviceaccount:default:*"),
    row("azure-federation-bound", pods, "sync-federation", "issuer", to="http://issuer.example.com"),
    row("azure-federation-bound", pods, "sync-federation", "audiences", to=["api://AzureADTokenExchange", "any"]),
    *(
        row("azure-identities-kept-to-program", prod, name, "configuration", "identitySettings", at, "lifecycle", to=to)
        for name, at, to in (("app", 1, "All"), ("app", 1, "Main"), ("job", 1, "Init"), ("job", 0, "All"))
    ),
    row("azure-identities-kept-to-program", prod, "app", "configuration", "identitySettings", to=None),
    row("azure-identities-kept-to-program", prod, "job", "identity", "type", to="SystemAssigned"),
    row("azure-events-by-identity", prod, "vault-events", "identity", to=None),
    row("azure-events-by-identity", prod, "expiry-events", "deliveryWithResourceIdentity", to=None),
    row("azure-events-by-identity", prod, "expiry-events", "destination", to={"endpointType": "StorageQueue"}),
    row("azure-subscription-named", prod, "azure", "subscriptionId", to=None),
    row("azure-subscription-named", prod, "azure", "tenantId", to=None),
    Break(
        rule="azure-subscription-named",
        plan=prod,
        change=added("azure-native:resources:ResourceGroup", {"name": "more"}),
    ),
)

OF_TRAIL = (
    row("azure-reads-recorded", prod, "vault-audit", "logs", to=[{"enabled": True, "category": "AzurePolicy"}]),
    row("azure-reads-recorded", prod, "vault-audit", "logs", 0, "enabled", to=False),
    row("azure-reads-recorded", prod, "vault-audit", "workspaceId", to=None),
    row("azure-reads-recorded", prod, "vault-audit", "resourceUri", to=f"{GROUP}/another"),
    gone("azure-reads-recorded", "vault-audit"),
    row("azure-trail-kept", prod, "workspace", "retentionInDays", to=364),
    row("azure-trail-kept", prod, "workspace", "features", "immediatePurgeDataOn30Days", to=True),
    row("azure-trail-kept", prod, "workspace", "features", "disableLocalAuth", to=False),
    *(
        one
        for what in ("undeclared-read", "denied-read", "deletion")
        for one in unheard("azure-reads-are-told", f"alert-{what}")
    ),
    *(
        one
        for what in ("tick-failed", "tick-overdue", "tick-missing", "expired", "near-expiry")
        for one in unheard("azure-rotation-failures-told", f"alert-{what}")
    ),
    row("azure-tampering-is-told", prod, "alert-access-change", "enabled", to=False),
    row("azure-tampering-is-told", prod, "alert-access-change", "actions", "actionGroups", to=[]),
    row(
        *("azure-tampering-is-told", prod, "alert-access-change", "condition", "allOf", 2, "anyOf"),
        to=lambda there: [one for one in there if "diagnosticSettings/delete" not in one["equals"]],
        unknown=False,
    ),
    row("azure-tampering-is-told", prod, "alert-access-change", "condition", to=None),
)

OF_SERVER = (
    *(
        row("azure-storage-closed", prod, "lease-account", what, to=to)
        for what, to in (
            ("enableHttpsTrafficOnly", False),
            ("minimumTlsVersion", "TLS1_0"),
            ("minimumTlsVersion", None),
            ("allowSharedKeyAccess", None),
            ("isLocalUserEnabled", True),
            ("allowBlobPublicAccess", True),
            ("allowCrossTenantReplication", None),
        )
    ),
    row("azure-storage-closed", prod, "lease-container", "publicAccess", to="Blob"),
    row("azure-tick-hourly", prod, "job", "configuration", "scheduleTriggerConfig", "cronExpression", to="0 3 * * *"),
    row("azure-tick-hourly", prod, "job", "configuration", "replicaTimeout", to=3600),
    row("azure-tick-hourly", prod, "job", "configuration", "triggerType", to="Manual"),
    gone("azure-tick-hourly", "job"),
    *(
        row("azure-containers-hold-no-value", prod, "app", "configuration", "secrets", to=[secret])
        for secret in (
            {"name": "mqtt", "value": "a text"},
            {"name": "mqtt", "keyVaultUrl": "https://v.vault.azure.net/secrets/mqtt"},
            {"name": "mqtt", "identity": "system"},
            {"keyVaultUrl": "https://v.vault.azure.net/secrets/mqtt", "identity": "system", "value": "a text"},
        )
    ),
    row(
        *("azure-containers-hold-no-value", prod, "app", "configuration", "registries", 0, "passwordSecretRef"),
        to="registry",
    ),
    row(
        *("azure-containers-hold-no-value", prod, "app", "template", "containers", 0, "env", 0),
        to={"name": "MQTT_PASSWORD", "value": "a text"},
        also=NO_VALUE,
    ),
    row(
        *("azure-containers-hold-no-value", prod, "job", "template", "initContainers", 0, "env", 0),
        to={"name": "FILE_0", "value": PRIVATE_KEY},
        also=NO_VALUE,
    ),
    row("azure-app-speaks-tls", prod, "app", "configuration", "ingress", "allowInsecure", to=True),
    row("azure-app-speaks-tls", prod, "environment", "peerTrafficConfiguration", to=None),
    row("azure-app-not-public", prod, "app", "configuration", "ingress", "external", to=True),
    row("azure-app-not-public", everything, "environment", "vnetConfiguration", "internal", to=False),
)
