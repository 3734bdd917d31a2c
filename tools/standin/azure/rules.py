"""Rules of Azure beyond its SDK's types, each with its source."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any

from tools.standin.azure import roles, together
from tools.standin.azure.identities import DIAGNOSTICS, GROUP, IDENTITY, ROLE_ASSIGNMENT, VAULT, kind
from tools.standin.azure.schedules import Cron
from tools.standin.forms import Between, Form, Like, OneOf, found
from tools.standin.problems import Problem
from tools.standin.wire import UNKNOWNS, is_unknown

Inputs = Mapping[str, Any]

GUID = Like(roles.GUID, "a GUID")
SCOPE = Like(
    rf"(?i){roles.SUBSCRIPTION}|{roles.GROUP}|{roles.RESOURCE}",
    "the id of a subscription, a resource group or a resource",
)
SECONDS = Between(1, 240)


def resource_of(provider: str, kind_of: str) -> Like:
    path = rf"(?i){roles.GROUP}/providers/{re.escape(provider)}/{kind_of}/[^/\s]+"
    return Like(path, f"the id of a resource of type {provider}/{kind_of}")


SUBNET = Like(
    rf"(?i){roles.GROUP}/providers/Microsoft\.Network/virtualNetworks/[^/\s]+/subnets/[^/\s]+", "the id of a subnet"
)
IDENTITY_ID = resource_of("Microsoft.ManagedIdentity", "userAssignedIdentities")
ENVIRONMENT = resource_of("Microsoft.App", "managedEnvironments")
WORKSPACE = resource_of("Microsoft.OperationalInsights", "workspaces")
ACTION_GROUP = resource_of("Microsoft.Insights", "actionGroups")


def _named(pattern: str, words: str) -> Like:
    return Like(pattern, words)


_APP = _named(
    r"(?!.*--)[a-z][a-z0-9-]{0,30}[a-z0-9]",
    "2 to 32 lower-case letters, digits and single dashes, with a letter first and no dash last",
)
_CONTAINER = _named(
    r"(?!.*--)[a-z0-9][a-z0-9-]{1,61}[a-z0-9]",
    "3 to 63 lower-case letters, digits and single dashes, with no dash first or last",
)

# How often a log is searched (Azure Monitor, log search alerts), and the period searched, two days at most.
FREQUENCIES = ("PT1M", "PT5M", "PT10M", "PT15M", "PT30M", "PT45M", *(f"PT{n}H" for n in range(1, 7)), "P1D")

VALUES: Mapping[str, Mapping[str, Form]] = {
    # Azure, naming rules and restrictions; Vaults - Create Or Update: VaultProperties.
    VAULT: {
        "vaultName": _named(
            r"(?!.*--)[A-Za-z][A-Za-z0-9-]{1,22}[A-Za-z0-9]", "3 to 24 letters, digits and single dashes"
        ),
        "properties.softDeleteRetentionInDays": Between(7, 90),
        "properties.enablePurgeProtection": OneOf((True,)),
        "properties.enableSoftDelete": OneOf((True,)),
        "properties.tenantId": GUID,
        "properties.publicNetworkAccess": Like(r"(?i)enabled|disabled", "Enabled or Disabled"),
        "properties.networkAcls.virtualNetworkRules[].id": SUBNET,
    },
    "storage:StorageAccount": {
        "accountName": _named(r"[a-z0-9]{3,24}", "3 to 24 lower-case letters and digits"),
        "networkRuleSet.virtualNetworkRules[].virtualNetworkResourceId": SUBNET,
    },
    "storage:BlobContainer": {"containerName": _CONTAINER},
    GROUP: {"resourceGroupName": _named(r"[\w().-]{0,89}[\w()-]", "1 to 90 letters, digits and -_.()")},
    IDENTITY: {
        "resourceName": _named(r"[A-Za-z0-9][A-Za-z0-9_-]{2,127}", "3 to 128 letters, digits, dashes and underscores")
    },
    # Entra, workload identity federation: a name of 3 to 120 characters, one audience, an issuer with TLS.
    "managedidentity:FederatedIdentityCredential": {
        "federatedIdentityCredentialResourceName": _named(
            r"[A-Za-z0-9][A-Za-z0-9_-]{2,119}", "3 to 120 letters, digits, dashes and underscores"
        ),
        "issuer": Like(r"https://[^\s/]+(/\S*)?", "an https URL"),
        "subject": Like(r"\S.{0,599}", "1 to 600 characters"),
    },
    # Role assignments - Create.
    ROLE_ASSIGNMENT: {
        "roleDefinitionId": roles.KnownRole(),
        "principalId": GUID,
        "scope": SCOPE,
        "roleAssignmentName": GUID,
    },
    # Container Apps: Jobs - Create Or Update; Container Apps - Create Or Update.
    "app:Job": {
        "jobName": _APP,
        "environmentId": ENVIRONMENT,
        "configuration.replicaTimeout": Between(1, 604800),
        "configuration.replicaRetryLimit": Between(0, 20),
        "configuration.scheduleTriggerConfig.cronExpression": Cron(),
        "configuration.scheduleTriggerConfig.parallelism": Between(1, 300),
        "identity.userAssignedIdentities[]": IDENTITY_ID,
    },
    "app:ContainerApp": {
        "containerAppName": _APP,
        "environmentId": ENVIRONMENT,
        "configuration.ingress.targetPort": Between(1, 65535),
        "template.scale.minReplicas": Between(0, 1000),
        "template.scale.maxReplicas": Between(1, 1000),
        "template.terminationGracePeriodSeconds": Between(0, 600),
        "template.containers[].probes[].httpGet.port": Between(1, 65535),
        "template.containers[].probes[].periodSeconds": SECONDS,
        "template.containers[].probes[].timeoutSeconds": SECONDS,
        "template.containers[].probes[].failureThreshold": Between(1, 10),
        "template.containers[].probes[].initialDelaySeconds": Between(0, 60),
        "identity.userAssignedIdentities[]": IDENTITY_ID,
    },
    "app:ManagedEnvironment": {"vnetConfiguration.infrastructureSubnetId": SUBNET},
    # Workspaces - Create Or Update, of the pricing tier PerGB2018.
    "operationalinsights:Workspace": {
        "workspaceName": _named(r"[A-Za-z0-9][A-Za-z0-9-]{2,61}[A-Za-z0-9]", "4 to 63 letters, digits and dashes"),
        "retentionInDays": Between(30, 730),
    },
    # Diagnostic Settings - Create Or Update.
    DIAGNOSTICS: {
        "resourceUri": SCOPE,
        "workspaceId": WORKSPACE,
        "logAnalyticsDestinationType": OneOf(("Dedicated", "AzureDiagnostics")),
    },
    # Scheduled Query Rules - Create Or Update. The SDK's enum of operators is another API's.
    "monitor:ScheduledQueryRule": {
        "severity": Between(0, 4),
        "evaluationFrequency": OneOf(FREQUENCIES),
        "windowSize": OneOf((*FREQUENCIES, "P2D")),
        "criteria.allOf[].operator": OneOf(
            ("Equals", "GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual")
        ),
        "criteria.allOf[].query": Like(r"(?s).*\S.*", "a query"),
        "criteria.allOf[].dimensions[].operator": OneOf(("Include", "Exclude")),
        "scopes[]": SCOPE,
        "actions.actionGroups[]": ACTION_GROUP,
    },
    "monitor:ActivityLogAlert": {"scopes[]": SCOPE, "actions.actionGroups[].actionGroupId": ACTION_GROUP},
    "monitor:ActionGroup": {
        "groupShortName": Like(r".{1,12}", "1 to 12 characters"),
        "emailReceivers[].emailAddress": Like(r"[^@\s]+@[^@\s]+", "an email address"),
    },
    "network:PrivateEndpoint": {"subnet.id": SUBNET},
}


def problems(token: str, inputs: Inputs) -> Iterator[Problem]:
    for path, rule in VALUES.get(kind(token), {}).items():
        for at, value in found(inputs, path):
            if not _is_open(value) and (broken := rule.problem(value)):
                yield Problem(at, value, broken[0], broken[1])
    yield from _tags(inputs)
    yield from _networks(inputs)
    yield from together.problems(kind(token), inputs)


def _is_open(value: Any) -> bool:
    return is_unknown(value) or (isinstance(value, str) and any(word in value for word in UNKNOWNS))


def _tags(inputs: Inputs) -> Iterator[Problem]:
    # At most 50, names of 1 to 512 characters without <>%&\?/, values up to 256 (Azure, tag resources).
    tags = inputs.get("tags")
    for key, text in tags.items() if isinstance(tags, Mapping) else ():
        if not re.fullmatch(r"[^<>%&\\?/]{1,512}", key):
            yield Problem(
                at=f"tags.{key}", value=key, rule="a tag's key must have no <>%&\\?/", remedy="use another key"
            )
        if isinstance(text, str) and not is_unknown(text) and len(text) > 256:  # noqa: PLR2004
            yield Problem(
                at=f"tags.{key}",
                value=text,
                rule="a tag's value may have at most 256 characters",
                remedy="shorten the value",
            )


_PRIVATE = tuple(ipaddress.IPv4Network(one) for one in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"))


def _networks(inputs: Inputs) -> Iterator[Problem]:
    # Networks of RFC 1918 are not allowed (Key Vault and Storage, IP network rules).
    for path in ("properties.networkAcls.ipRules[].value", "networkRuleSet.ipRules[].iPAddressOrRange"):
        for at, value in found(inputs, path):
            if not isinstance(value, str) or is_unknown(value):
                continue
            try:
                given = ipaddress.IPv4Network(value)
            except ValueError:
                yield Problem(at, value, "the value must be an IPv4 address or network", "write it like 203.0.113.7")
                continue
            if any(given.subnet_of(one) for one in _PRIVATE):
                yield Problem(at, value, "the network must be public", "add a subnet or a private endpoint instead")
