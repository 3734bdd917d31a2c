"""Inputs for the stand-in for Azure: what is right of each type, in other ways too, and what is wrong, planted."""

from __future__ import annotations

from typing import Any

from tests.tools.standin_inputs import GONE
from tools.standin import wire

SUBSCRIPTION = "11111111-2222-3333-4444-555555555555"
SOMEBODY = "aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee"

GROUP = "azure-native:resources:ResourceGroup"
VAULT = "azure-native:keyvault:Vault"
ACCOUNT = "azure-native:storage:StorageAccount"
CONTAINER = "azure-native:storage:BlobContainer"
QUEUE = "azure-native:storage:Queue"
IDENTITY = "azure-native:managedidentity:UserAssignedIdentity"
FEDERATION = "azure-native:managedidentity:FederatedIdentityCredential"
ASSIGNMENT = "azure-native:authorization:RoleAssignment"
ENVIRONMENT = "azure-native:app:ManagedEnvironment"
APP = "azure-native:app:ContainerApp"
JOB = "azure-native:app:Job"
WORKSPACE = "azure-native:operationalinsights:Workspace"
DIAGNOSTICS = "azure-native:monitor:DiagnosticSetting"
QUERY = "azure-native:monitor:ScheduledQueryRule"
TOLD = "azure-native:monitor:ActionGroup"
TOPIC = "azure-native:eventgrid:SystemTopic"
EVENTS = "azure-native:eventgrid:SystemTopicEventSubscription"

IN_GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/plant"
IN_VAULT = f"{IN_GROUP}/providers/Microsoft.KeyVault/vaults/plant"
IN_STORAGE = f"{IN_GROUP}/providers/Microsoft.Storage/storageAccounts/plant"
WHO = f"{IN_GROUP}/providers/Microsoft.ManagedIdentity/userAssignedIdentities/plant-rotator"
WHERE = f"{IN_GROUP}/providers/Microsoft.App/managedEnvironments/plant"
LOGS = f"{IN_GROUP}/providers/Microsoft.OperationalInsights/workspaces/plant"
TELLS = f"{IN_GROUP}/providers/Microsoft.Insights/actionGroups/plant"
SUBNET = f"{IN_GROUP}/providers/Microsoft.Network/virtualNetworks/plant/subnets/a"


def role(guid: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.Authorization/roleDefinitions/{guid}"


READS = role("4633458b-17de-408a-b874-0445c86b69e6")

PROPERTIES: dict[str, Any] = {
    "tenantId": SUBSCRIPTION,
    "sku": {"family": "A", "name": "standard"},
    "enableRbacAuthorization": True,
    "enablePurgeProtection": True,
    "softDeleteRetentionInDays": 90,
    "networkAcls": {"bypass": "None", "defaultAction": "Deny", "ipRules": [{"value": "203.0.113.7"}]},
}
RUNS: dict[str, Any] = {
    "name": "rotator",
    "image": "plant.azurecr.io/rotator:1",
    "env": [{"name": "A", "value": "b"}],
    "resources": {"cpu": 0.25, "memory": "0.5Gi"},
    "volumeMounts": [{"volumeName": "stack", "mountPath": "/etc/stack"}],
}
TEMPLATE: dict[str, Any] = {"containers": [RUNS], "volumes": [{"name": "stack", "storageType": "EmptyDir"}]}
HOURLY: dict[str, Any] = {
    "triggerType": "Schedule",
    "replicaTimeout": 1800,
    "replicaRetryLimit": 0,
    "scheduleTriggerConfig": {"cronExpression": "0 * * * *", "parallelism": 1},
    "registries": [{"server": "plant.azurecr.io", "identity": WHO}],
    "identitySettings": [{"identity": WHO, "lifecycle": "Main"}],
}
AS_WHO: dict[str, Any] = {"type": "UserAssigned", "userAssignedIdentities": [WHO]}
CONDITION: dict[str, Any] = {
    "query": "AZKVAuditLogs",
    "timeAggregation": "Count",
    "operator": "GreaterThan",
    "threshold": 0,
    "dimensions": [{"name": "Who", "operator": "Include", "values": ["*"]}],
    "failingPeriods": {"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 1},
}
PROBE: dict[str, Any] = {"type": "Liveness", "httpGet": {"path": "/healthz", "port": 8080}, "periodSeconds": 5}

RIGHT: dict[str, dict[str, Any]] = {
    GROUP: {"resourceGroupName": "plant", "location": "westeurope", "tags": {"a": "b"}},
    VAULT: {"vaultName": "plant-prod", "resourceGroupName": "plant", "properties": PROPERTIES},
    ACCOUNT: {
        "accountName": "plantprod1",
        "resourceGroupName": "plant",
        "kind": "StorageV2",
        "sku": {"name": "Standard_LRS"},
        "minimumTlsVersion": "TLS1_2",
        "allowSharedKeyAccess": False,
    },
    CONTAINER: {"accountName": "plantprod1", "containerName": "leases", "resourceGroupName": "plant"},
    QUEUE: {"accountName": "plantprod1", "queueName": "near-expiry", "resourceGroupName": "plant"},
    IDENTITY: {"resourceName": "plant-rotator", "resourceGroupName": "plant"},
    FEDERATION: {
        "federatedIdentityCredentialResourceName": "cluster",
        "resourceName": "plant-sync",
        "resourceGroupName": "plant",
        "issuer": "https://oidc.example.com/a/",
        "subject": "system:serviceaccount:a:b",
        "audiences": ["api://AzureADTokenExchange"],
    },
    ASSIGNMENT: {
        "roleDefinitionId": READS,
        "principalId": SOMEBODY,
        "principalType": "ServicePrincipal",
        "scope": f"{IN_VAULT}/secrets/mqtt",
    },
    ENVIRONMENT: {
        "environmentName": "plant",
        "resourceGroupName": "plant",
        "appLogsConfiguration": {"destination": "azure-monitor"},
        "vnetConfiguration": {"infrastructureSubnetId": SUBNET, "internal": True},
    },
    JOB: {
        "jobName": "plant-rotator",
        "resourceGroupName": "plant",
        "environmentId": WHERE,
        "identity": AS_WHO,
        "configuration": HOURLY,
        "template": TEMPLATE,
    },
    APP: {
        "containerAppName": "plant-server",
        "resourceGroupName": "plant",
        "environmentId": WHERE,
        "identity": AS_WHO,
        "configuration": {
            "activeRevisionsMode": "Single",
            "ingress": {"external": False, "targetPort": 8080, "transport": "http"},
        },
        "template": {
            **TEMPLATE,
            "containers": [{**RUNS, "probes": [PROBE]}],
            "scale": {"minReplicas": 2, "maxReplicas": 2},
        },
    },
    WORKSPACE: {
        "workspaceName": "plant-trail",
        "resourceGroupName": "plant",
        "sku": {"name": "PerGB2018"},
        "retentionInDays": 365,
    },
    DIAGNOSTICS: {
        "name": "audit",
        "resourceUri": IN_VAULT,
        "workspaceId": LOGS,
        "logs": [{"categoryGroup": "audit", "enabled": True}],
        "logAnalyticsDestinationType": "Dedicated",
    },
    QUERY: {
        "ruleName": "denied",
        "resourceGroupName": "plant",
        "kind": "LogAlert",
        "scopes": [LOGS],
        "severity": 2,
        "evaluationFrequency": "PT5M",
        "windowSize": "PT30M",
        "criteria": {"allOf": [CONDITION]},
        "actions": {"actionGroups": [TELLS]},
    },
    TOLD: {
        "actionGroupName": "told",
        "resourceGroupName": "plant",
        "groupShortName": "coreflux-mcp",
        "emailReceivers": [{"name": "a", "emailAddress": "ops@example.com"}],
    },
    TOPIC: {
        "systemTopicName": "plant",
        "resourceGroupName": "plant",
        "source": IN_VAULT,
        "topicType": "Microsoft.KeyVault.vaults",
        "identity": {"type": "UserAssigned", "userAssignedIdentities": {WHO: {}}},
    },
    EVENTS: {
        "eventSubscriptionName": "near-expiry",
        "systemTopicName": "plant",
        "resourceGroupName": "plant",
        "filter": {"includedEventTypes": ["Microsoft.KeyVault.SecretNearExpiry"]},
        "deliveryWithResourceIdentity": {
            "identity": {"type": "UserAssigned", "userAssignedIdentity": WHO},
            "destination": {
                "endpointType": "StorageQueue",
                "resourceId": IN_STORAGE,
                "queueName": "near-expiry",
                "queueMessageTimeToLiveInSeconds": 600,
            },
        },
    },
}
"""What passes, one of each type, as the SDK sends it."""


def _vault(**changed: object) -> dict[str, Any]:
    return {name: value for name, value in {**PROPERTIES, **changed}.items() if value is not GONE}


def _job(**changed: object) -> dict[str, Any]:
    return {name: value for name, value in {**HOURLY, **changed}.items() if value is not GONE}


def _runs(**changed: object) -> dict[str, Any]:
    return {**TEMPLATE, "containers": [{name: one for name, one in {**RUNS, **changed}.items() if one is not GONE}]}


def _probed(**changed: object) -> dict[str, Any]:
    return _runs(probes=[{**PROBE, **changed}])


def _searches(**changed: object) -> dict[str, Any]:
    return {"allOf": [{name: value for name, value in {**CONDITION, **changed}.items() if value is not GONE}]}


CRON = "configuration.scheduleTriggerConfig.cronExpression"
RULES = "properties.networkAcls"

WRONG: list[tuple[str, str, str, object, str]] = [
    # what is wrong, type, property, its wrong value, where it is told
    ("an unknown key", VAULT, "purgeProtection", True, "purgeProtection"),
    ("a nested unknown key", VAULT, "properties", _vault(enablePurgeProtect=True), "properties.enablePurgeProtect"),
    ("a key of another version of the SDK", JOB, "configuration", _job(secretRef="a"), "configuration.secretRef"),
    ("an unknown key in a list", APP, "template", _runs(environment=[]), "template.containers[0].environment"),
    ("an unknown key of a condition", QUERY, "criteria", _searches(timeWindow="PT5M"),
     "criteria.allOf[0].timeWindow"),
    ("a vault without properties", VAULT, "properties", GONE, "properties"),
    ("a vault of no tenant", VAULT, "properties", _vault(tenantId=GONE), "properties.tenantId"),
    ("an account of no kind", ACCOUNT, "kind", GONE, "kind"),
    ("a role for nobody", ASSIGNMENT, "principalId", GONE, "principalId"),
    ("a role of nothing", ASSIGNMENT, "scope", GONE, "scope"),
    ("a receiver without an address", TOLD, "emailReceivers", [{"name": "a"}], "emailReceivers[0].emailAddress"),
    ("days as text", VAULT, "properties", _vault(softDeleteRetentionInDays="90"),
     "properties.softDeleteRetentionInDays"),
    ("true as text", ACCOUNT, "allowSharedKeyAccess", "false", "allowSharedKeyAccess"),
    ("one where there are many", QUERY, "scopes", LOGS, "scopes"),
    ("identities as a map", JOB, "identity", {**AS_WHO, "userAssignedIdentities": {WHO: {}}},
     "identity.userAssignedIdentities"),
    ("identities as a list", TOPIC, "identity", {"type": "UserAssigned", "userAssignedIdentities": [WHO]},
     "identity.userAssignedIdentities"),
    ("a tag that is a number", WORKSPACE, "tags", {"version": 1}, "tags.version"),
    ("a tier that is none", VAULT, "properties", _vault(sku={"family": "A", "name": "Premium"}), "properties.sku.name"),
    ("a principal that is none", ASSIGNMENT, "principalType", "ManagedIdentity", "principalType"),
    ("an old version of TLS", ACCOUNT, "minimumTlsVersion", "TLS12", "minimumTlsVersion"),
    ("a trigger that is none", JOB, "configuration", _job(triggerType="Cron"), "configuration.triggerType"),
    ("a transport that is none", APP, "configuration", {"ingress": {"transport": "https"}},
     "configuration.ingress.transport"),
    ("a kind of storage that is none", JOB, "template", {**TEMPLATE, "volumes": [{"name": "stack",
     "storageType": "Memory"}]}, "template.volumes[0].storageType"),
    # names
    *((f"a vault called {name}", VAULT, "vaultName", name, "vaultName") for name in (
        "kv", "a-name-that-is-as-long-as-none", "plant_prod", "1plant", "plant--prod", "plant-",
    )),
    *((f"an account called {name}", ACCOUNT, "accountName", name, "accountName") for name in (
        "plant-prod", "Plant", "pl", "a2345678901234567890123456",
    )),
    *((f"a container called {name}", CONTAINER, "containerName", name, "containerName") for name in (
        "a", "Leases", "leases--a", "-leases",
    )),
    ("a queue's name that is none", QUEUE, "queueName", "near_expiry", "queueName"),
    *((f"a job called {name}", JOB, "jobName", name, "jobName") for name in ("Rotator", "a" * 33, "1rotator", "a--b")),
    ("an app's name that is none", APP, "containerAppName", "plant.server", "containerAppName"),
    ("an identity's name that is none", IDENTITY, "resourceName", "r", "resourceName"),
    ("a group's name that is none", GROUP, "resourceGroupName", "plant.", "resourceGroupName"),
    ("a workspace's name that is none", WORKSPACE, "workspaceName", "abc", "workspaceName"),
    ("too long a short name", TOLD, "groupShortName", "coreflux-mcp-told", "groupShortName"),
    ("an address that is none", TOLD, "emailReceivers", [{"name": "a", "emailAddress": "ops"}],
     "emailReceivers[0].emailAddress"),
    ("a tag's key that is none", GROUP, "tags", {"a/b": "c"}, "tags.a/b"),
    ("too long a tag", GROUP, "tags", {"a": "b" * 257}, "tags.a"),
    # the vault
    ("a deleted vault that is kept too short", VAULT, "properties", _vault(softDeleteRetentionInDays=6),
     "properties.softDeleteRetentionInDays"),
    ("a deleted vault that is kept too long", VAULT, "properties", _vault(softDeleteRetentionInDays=91),
     "properties.softDeleteRetentionInDays"),
    ("no protection from purging, as false", VAULT, "properties", _vault(enablePurgeProtection=False),
     "properties.enablePurgeProtection"),
    ("no soft delete", VAULT, "properties", _vault(enableSoftDelete=False), "properties.enableSoftDelete"),
    ("neither roles nor policies", VAULT, "properties", _vault(enableRbacAuthorization=False),
     "properties.accessPolicies"),
    ("a tenant that is a name", VAULT, "properties", _vault(tenantId="example.com"), "properties.tenantId"),
    ("an address of a private network", VAULT, "properties", _vault(networkAcls={"ipRules": [{"value": "10.0.0.4"}]}),
     f"{RULES}.ipRules[0].value"),
    ("an address of version 6", VAULT, "properties", _vault(networkAcls={"ipRules": [{"value": "2001:db8::1"}]}),
     f"{RULES}.ipRules[0].value"),
    ("a subnet that is a name", VAULT, "properties", _vault(networkAcls={"virtualNetworkRules": [{"id": "plant"}]}),
     f"{RULES}.virtualNetworkRules[0].id"),
    # roles
    ("a role by its name", ASSIGNMENT, "roleDefinitionId", "Key Vault Secrets User", "roleDefinitionId"),
    ("a role that nobody knows", ASSIGNMENT, "roleDefinitionId", role("4633458b-17de-408a-b874-0445c86b69e7"),
     "roleDefinitionId"),
    ("a role of a secret on storage", ASSIGNMENT, "scope", IN_STORAGE, "scope"),
    ("a scope that is an address", ASSIGNMENT, "scope", "https://plant.vault.azure.net/secrets/mqtt", "scope"),
    ("a scope without its group", ASSIGNMENT, "scope",
     f"/subscriptions/{SUBSCRIPTION}/providers/Microsoft.KeyVault/vaults/plant/secrets", "scope"),
    ("a scope that ends in the middle", ASSIGNMENT, "scope", f"{IN_VAULT}/secrets", "scope"),
    ("a principal by its name", ASSIGNMENT, "principalId", "plant-rotator", "principalId"),
    ("two audiences", FEDERATION, "audiences", ["a", "b"], "audiences"),
    ("an issuer without TLS", FEDERATION, "issuer", "http://oidc.example.com/", "issuer"),
    # jobs and apps
    *((f"a job by {text}", JOB, "configuration", _job(scheduleTriggerConfig={"cronExpression": text}), CRON)
      for text in ("@hourly", "0 * * *", "0 0 * * * *", "60 * * * *", "0 24 * * *", "0 0 0 * *", "0 0 1 13 *",
                   "0 0 * * 7", "*/0 * * * *", "5-1 * * * *")),
    ("a schedule without one", JOB, "configuration", _job(scheduleTriggerConfig=GONE),
     "configuration.scheduleTriggerConfig"),
    ("a schedule and an event", JOB, "configuration", _job(eventTriggerConfig={"parallelism": 1}),
     "configuration.eventTriggerConfig"),
    ("a tick of no time", JOB, "configuration", _job(replicaTimeout=0), "configuration.replicaTimeout"),
    ("fewer retries than none", JOB, "configuration", _job(replicaRetryLimit=-1), "configuration.replicaRetryLimit"),
    ("a registry that is asked as somebody else", JOB, "configuration",
     _job(registries=[{"server": "plant.azurecr.io", "identity": f"{WHO}-2"}]), "configuration.registries[0].identity"),
    ("a setting of somebody else", JOB, "configuration",
     _job(identitySettings=[{"identity": f"{WHO}-2", "lifecycle": "Main"}]),
     "configuration.identitySettings[0].identity"),
    ("an identity that is a name", JOB, "identity", {**AS_WHO, "userAssignedIdentities": ["plant-rotator"]},
     "identity.userAssignedIdentities[0]"),
    ("an environment that is a name", JOB, "environmentId", "plant", "environmentId"),
    ("nothing to run", JOB, "template", {**TEMPLATE, "containers": []}, "template.containers"),
    ("a container without an image", JOB, "template", _runs(image=GONE), "template.containers[0].image"),
    ("a volume that is none", JOB, "template", _runs(volumeMounts=[{"volumeName": "a", "mountPath": "/a"}]),
     "template.containers[0].volumeMounts[0].volumeName"),
    ("a secret that is none", JOB, "template", _runs(env=[{"name": "A", "secretRef": "a"}]),
     "template.containers[0].env[0].secretRef"),
    ("more than a container has", JOB, "template", _runs(resources={"cpu": 8, "memory": "16Gi"}),
     "template.containers[0].resources.cpu"),
    ("memory that does not go with the cores", JOB, "template", _runs(resources={"cpu": 0.25, "memory": "1Gi"}),
     "template.containers[0].resources.memory"),
    ("more of the least than of the most", APP, "template", {**TEMPLATE, "scale": {"minReplicas": 3,
     "maxReplicas": 2}}, "template.scale.minReplicas"),
    ("no replica at all", APP, "template", {**TEMPLATE, "scale": {"maxReplicas": 0}}, "template.scale.maxReplicas"),
    ("a port that is none", APP, "configuration", {"ingress": {"targetPort": 70000}},
     "configuration.ingress.targetPort"),
    ("a probe that waits too long", APP, "template", _probed(periodSeconds=300),
     "template.containers[0].probes[0].periodSeconds"),
    ("a probe with too much patience", APP, "template", _probed(failureThreshold=11),
     "template.containers[0].probes[0].failureThreshold"),
    ("a grace that is too long", APP, "template", {**TEMPLATE, "terminationGracePeriodSeconds": 601},
     "template.terminationGracePeriodSeconds"),
    # records
    ("a retention that is too short", WORKSPACE, "retentionInDays", 29, "retentionInDays"),
    ("a retention that is too long", WORKSPACE, "retentionInDays", 731, "retentionInDays"),
    ("a record that goes nowhere", DIAGNOSTICS, "workspaceId", GONE, "workspaceId"),
    ("a record of nothing", DIAGNOSTICS, "logs", GONE, "logs"),
    ("a category and a group of them", DIAGNOSTICS, "logs", [{"category": "AuditEvent", "categoryGroup": "audit"}],
     "logs[0]"),
    ("a table that is none", DIAGNOSTICS, "logAnalyticsDestinationType", "Own", "logAnalyticsDestinationType"),
    ("an operator of another API", QUERY, "criteria", _searches(operator="gt"), "criteria.allOf[0].operator"),
    ("an alert without a query", QUERY, "criteria", _searches(query=" "), "criteria.allOf[0].query"),
    ("an alert without a threshold", QUERY, "criteria", _searches(threshold=GONE), "criteria.allOf[0].threshold"),
    ("more failures than periods", QUERY, "criteria",
     _searches(failingPeriods={"numberOfEvaluationPeriods": 1, "minFailingPeriodsToAlert": 2}),
     "criteria.allOf[0].failingPeriods.minFailingPeriodsToAlert"),
    ("a severity that is none", QUERY, "severity", 5, "severity"),
    ("a frequency that is none", QUERY, "evaluationFrequency", "PT7M", "evaluationFrequency"),
    ("a window that is none", QUERY, "windowSize", "30m", "windowSize"),
    ("an alert of nothing", QUERY, "scopes", GONE, "scopes"),
    ("who is told, by name", QUERY, "actions", {"actionGroups": ["told"]}, "actions.actionGroups[0]"),
    ("events that go two ways", EVENTS, "destination",
     {"endpointType": "StorageQueue", "resourceId": IN_STORAGE, "queueName": "a"}, "destination"),
    ("events that go nowhere", EVENTS, "deliveryWithResourceIdentity", GONE, "deliveryWithResourceIdentity"),
]  # fmt: skip

AS_RIGHT: list[tuple[str, str, object]] = [
    # type, property, another value that is right
    (VAULT, "properties", _vault(enablePurgeProtection=GONE, softDeleteRetentionInDays=7)),
    (VAULT, "properties", _vault(enableRbacAuthorization=GONE, accessPolicies=[])),
    (VAULT, "properties", _vault(networkAcls={"ipRules": [{"value": "203.0.113.0/24"}]})),
    (VAULT, "vaultName", "a-name-of-24-characters1"),
    (ASSIGNMENT, "scope", IN_GROUP),
    (ASSIGNMENT, "scope", f"{wire.UNKNOWN}/secrets/mqtt"),
    (ASSIGNMENT, "roleDefinitionId", READS.partition(SUBSCRIPTION)[2]),
    *((JOB, "configuration", _job(scheduleTriggerConfig={"cronExpression": text})) for text in (
        "*/15 8-17 * * 1-5", "0,30 0 1 1,7 0", "59 23 31 12 6", "1-59/2 * * * *",
    )),
    (JOB, "configuration", _job(identitySettings=[{"identity": wire.UNKNOWN, "lifecycle": "Main"}])),
    (JOB, "identity", {**AS_WHO, "userAssignedIdentities": [WHO, wire.UNKNOWN]}),
    (JOB, "template", _runs(resources={"cpu": 1, "memory": "2Gi"})),
    (JOB, "template", _runs(resources={"cpu": 0.75, "memory": "1.5Gi"})),
    (QUERY, "windowSize", "P2D"),
    (TOPIC, "identity", {"type": "SystemAssigned"}),
    (EVENTS, "deliveryWithResourceIdentity",
     {**RIGHT[EVENTS]["deliveryWithResourceIdentity"], "identity": {"type": "SystemAssigned"}}),
]  # fmt: skip

PROGRAM = """
import pulumi, pulumi_azure_native as azure
config = pulumi.Config()
subscription, tenant = "%(subscription)s", "%(tenant)s"
cloud = azure.Provider("azure", subscription_id=subscription, tenant_id=tenant)
child = pulumi.ResourceOptions(provider=cloud)
group = azure.resources.ResourceGroup("group", resource_group_name="tiny", location="westeurope", opts=child)
vault = azure.keyvault.Vault("vault", vault_name=config.require("vault"), resource_group_name=group.name, opts=child,
    properties=azure.keyvault.VaultPropertiesArgs(
        tenant_id=tenant, sku=azure.keyvault.SkuArgs(family="A", name=azure.keyvault.SkuName.STANDARD),
        enable_rbac_authorization=True, soft_delete_retention_in_days=config.get_int("days") or 7))
who = azure.managedidentity.UserAssignedIdentity("who", resource_group_name=group.name, opts=child)
azure.authorization.RoleAssignment("reads", principal_id=who.principal_id, principal_type="ServicePrincipal",
    scope=pulumi.Output.concat(vault.id, "/secrets/mqtt"), opts=child,
    role_definition_id=f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/"
        + (config.get("role") or "4633458b-17de-408a-b874-0445c86b69e6"))
if config.get("again"):
    azure.authorization.RoleAssignment("reads-too", principal_id=who.principal_id, principal_type="ServicePrincipal",
        scope=pulumi.Output.concat(vault.id, "/secrets/MQTT"), opts=child,
        role_definition_id=f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/"
            "4633458b-17de-408a-b874-0445c86b69e6")
workspace = azure.operationalinsights.Workspace("logs", resource_group_name=group.name, opts=child)
pulumi.export("uri", vault.properties.vault_uri)
pulumi.export("who", who.principal_id)
pulumi.export("workspace", workspace.customer_id)
pulumi.export("name", who.name)
""" % {"subscription": SUBSCRIPTION, "tenant": SOMEBODY}

_HEAD = "import pulumi_azure_native as azure\n"

PLANTED: dict[str, tuple[str, tuple[str, ...]]] = {
    # a resource, what is planted in it, and where each is told
    "a vault": (
        _HEAD + """azure.keyvault.Vault("it", vault_name="plant_prod", resource_group_name="plant", properties={
            "tenant_id": "example.com", "sku": {"family": "A", "name": "Standard"}, "enable_rbac_authorisation": True,
            "soft_delete_retention_in_days": 6, "enable_purge_protection": False,
            "network_acls": {"ip_rules": [{"value": "anywhere"}]}})""",
        ("vaultName", "properties.tenantId", "properties.sku.name", "properties.enable_rbac_authorisation",
         "properties.accessPolicies", "properties.softDeleteRetentionInDays", "properties.enablePurgeProtection",
         "properties.networkAcls.ipRules[0].value"),
    ),
    "a role": (
        _HEAD + """azure.authorization.RoleAssignment("it", principal_id="rotator", principal_type="Identity",
            role_definition_id="Key Vault Secrets User", scope="https://plant.vault.azure.net/secrets/mqtt")""",
        ("principalId", "principalType", "roleDefinitionId", "scope"),
    ),
    "a job": (
        _HEAD + """azure.app.Job("it", job_name="Rotator", resource_group_name="plant", environment_id="plant",
            configuration={"trigger_type": "Schedule", "replica_timeout": "1800",
                "schedule_trigger_config": {"cron_expression": "@hourly"}, "identity_setings": []},
            template={"containers": [{"name": "rotator", "image": "a", "resources": {"cpu": 0.25, "memory": "1Gi"},
                "volume_mounts": [{"volume_name": "stack", "mount_path": "/a"}], "env": [{"value": "a"}]}]})""",
        ("jobName", "environmentId", "configuration.replicaTimeout",
         "configuration.scheduleTriggerConfig.cronExpression", "configuration.identity_setings",
         "template.containers[0].resources.memory", "template.containers[0].volumeMounts[0].volumeName",
         "template.containers[0].env[0].name"),
    ),
    "an alert": (
        _HEAD + """azure.monitor.ScheduledQueryRule("it", rule_name="denied", resource_group_name="plant", severity=7,
            kind="LogAlert", evaluation_frequency="5m", scopes=[], criteria={"all_of": [{"query": "AZKVAuditLogs",
                "time_aggregation": "Times", "operator": "gt"}]})""",
        ("severity", "evaluationFrequency", "scopes", "criteria.allOf[0].timeAggregation",
         "criteria.allOf[0].operator", "criteria.allOf[0].threshold"),
    ),
}  # fmt: skip
"""What a program would plant: the SDK lets all of it pass."""
