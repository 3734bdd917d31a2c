"""Made-up ids, object ids and addresses of Azure. They are derived from names, so that two runs are equal."""

from __future__ import annotations

import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tools.standin.cloud import Inputs, digits, filler
from tools.standin.wire import UNKNOWN, has_unknown

STAMP = "2000-01-01T00:00:00Z"

# In place of an API version, to mark the stand-in's answers.
API = "standin"

# The path of a resource in its group, by the inputs in it. The last one is its name.
PATHS: Mapping[str, str] = {
    "app:ManagedEnvironment": "Microsoft.App/managedEnvironments/{environmentName}",
    "app:ContainerApp": "Microsoft.App/containerApps/{containerAppName}",
    "app:Job": "Microsoft.App/jobs/{jobName}",
    "keyvault:Vault": "Microsoft.KeyVault/vaults/{vaultName}",
    "managedidentity:UserAssignedIdentity": "Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}",
    "managedidentity:FederatedIdentityCredential": (
        "Microsoft.ManagedIdentity/userAssignedIdentities/{resourceName}"
        "/federatedIdentityCredentials/{federatedIdentityCredentialResourceName}"
    ),
    "monitor:ActionGroup": "Microsoft.Insights/actionGroups/{actionGroupName}",
    "monitor:ActivityLogAlert": "Microsoft.Insights/activityLogAlerts/{activityLogAlertName}",
    "monitor:ScheduledQueryRule": "Microsoft.Insights/scheduledQueryRules/{ruleName}",
    "network:PrivateEndpoint": "Microsoft.Network/privateEndpoints/{privateEndpointName}",
    "network:PrivateDnsZoneGroup": (
        "Microsoft.Network/privateEndpoints/{privateEndpointName}/privateDnsZoneGroups/{privateDnsZoneGroupName}"
    ),
    "operationalinsights:Workspace": "Microsoft.OperationalInsights/workspaces/{workspaceName}",
    "storage:StorageAccount": "Microsoft.Storage/storageAccounts/{accountName}",
    "storage:BlobContainer": (
        "Microsoft.Storage/storageAccounts/{accountName}/blobServices/default/containers/{containerName}"
    ),
}

ROLE_ASSIGNMENT, DIAGNOSTICS = "authorization:RoleAssignment", "monitor:DiagnosticSetting"
GROUP = "resources:ResourceGroup"
VAULT, IDENTITY = "keyvault:Vault", "managedidentity:UserAssignedIdentity"

# Property with the name, for other types. A role assignment's name is a GUID.
NAMED = {GROUP: "resourceGroupName", DIAGNOSTICS: "name"}

_PLACEHOLDER = re.compile(r"{(\w+)}")


def kind(token: str) -> str:
    return token.partition(":")[2]


def name_of(token: str) -> str | None:
    path = PATHS.get(kind(token))
    return _PLACEHOLDER.findall(path)[-1] if path else NAMED.get(kind(token))


def outer(token: str) -> frozenset[str]:
    """Return the properties that determine where a resource is. Changing them replaces it."""
    found = {*_PLACEHOLDER.findall(PATHS.get(kind(token), "")), *filter(None, [name_of(token)])}
    return frozenset(found | {"resourceGroupName", "location"})


@dataclass(frozen=True, kw_only=True)
class Place:
    """A resource's type and inputs, from which its id follows."""

    token: str
    urn: str
    subscription: str
    tenant: str
    inputs: Inputs

    @property
    def id(self) -> str:
        what, given = kind(self.token), {key: str(value) for key, value in self.inputs.items()}
        if what == ROLE_ASSIGNMENT:
            # The content is part of the id: a replacement exists before the old resource is deleted.
            name = given.get("roleAssignmentName") or guid(f"assignment {self.urn} {sorted(given.items())}")
            return f"{given['scope'].rstrip('/')}/providers/Microsoft.Authorization/roleAssignments/{name}"
        if what == DIAGNOSTICS:
            return f"{given['resourceUri']}/providers/Microsoft.Insights/diagnosticSettings/{given['name']}"
        group = f"/subscriptions/{self.subscription}/resourceGroups/{given.get('resourceGroupName', '')}"
        if what == GROUP:
            return group
        if what in PATHS:
            return f"{group}/providers/{PATHS[what].format(**given)}"
        return f"{group}/providers/Microsoft.Standin/{what.replace(':', '.')}/{guid(self.urn)}"

    @property
    def computed(self) -> dict[str, Any]:
        given, name = self.inputs, self.id.rpartition("/")[2]
        match kind(self.token):
            case "managedidentity:UserAssignedIdentity":
                return {"principalId": object_id(self.id), "clientId": client_id(self.id), "tenantId": self.tenant}
            case "operationalinsights:Workspace":
                return {"customerId": guid(f"workspace {self.id}"), "createdDate": STAMP, "modifiedDate": STAMP}
            case "app:ManagedEnvironment":
                return {"defaultDomain": f"standin-{digits(self.id, 8)}.{given.get('location')}.azurecontainerapps.io"}
            case "storage:StorageAccount":
                hosts = {"blob": f"https://{name}.blob.core.windows.net/"}
                return {"primaryEndpoints": hosts, "primaryLocation": given.get("location", "")}
        return {}


def computed(at: Place, output_types: Mapping[str, Any]) -> dict[str, Any]:
    path = at.id.rpartition("/providers/")[2].split("/")
    same = {
        "name": at.id.rpartition("/")[2],
        "type": "/".join([path[0], *path[1::2]]) if "/providers/" in at.id else "Microsoft.Resources/resourceGroups",
        "azureApiVersion": API,
        "provisioningState": "Succeeded",
    }
    rest = {name: filler(hint) for name, hint in output_types.items()}
    return {name: value for name, value in {**rest, **same, **at.computed}.items() if name in output_types}


def answered(token: str, inputs: Inputs) -> dict[str, Any]:
    """Return the inputs that Azure returns in another form: identities as a map, a vault with its address."""
    changed: dict[str, Any] = {}
    identity = inputs.get("identity")
    if isinstance(identity, Mapping) and isinstance(identity.get("userAssignedIdentities"), list):
        changed["identity"] = {**identity, "userAssignedIdentities": _mapped(identity["userAssignedIdentities"])}
    if kind(token) == VAULT and isinstance(inputs.get("properties"), Mapping):
        uri = f"https://{inputs.get('vaultName')}.vault.azure.net/"
        changed["properties"] = {**inputs["properties"], "vaultUri": uri, "provisioningState": "Succeeded"}
    return changed


def _mapped(identities: list[Any]) -> object:
    if has_unknown(identities):
        return UNKNOWN
    return {one: {"principalId": object_id(one), "clientId": client_id(one)} for one in identities}


def object_id(identity: str) -> str:
    return guid(f"object {identity.lower()}")


def client_id(identity: str) -> str:
    return guid(f"client {identity.lower()}")


def guid(text: str) -> str:
    return str(uuid.UUID(digits(text, 32)))
