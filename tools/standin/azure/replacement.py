"""Which changes replace a resource: changes of its place or name, and of the properties in ALSO."""

from __future__ import annotations

from collections.abc import Mapping

from tools.standin.azure import identities

ALSO: Mapping[str, frozenset[str]] = {
    # Role assignments - Create: principal, role and scope identify it; the description does not.
    identities.ROLE_ASSIGNMENT: frozenset(
        {"principalId", "principalType", "roleDefinitionId", "scope", "roleAssignmentName"}
    ),
    identities.DIAGNOSTICS: frozenset({"resourceUri"}),
    "app:ContainerApp": frozenset({"environmentId", "managedEnvironmentId"}),
    "app:Job": frozenset({"environmentId"}),
    "app:ManagedEnvironment": frozenset({"vnetConfiguration"}),
    "network:PrivateEndpoint": frozenset({"subnet", "privateLinkServiceConnections"}),
    "storage:StorageAccount": frozenset({"isHnsEnabled", "isNfsV3Enabled"}),
}


def replaced_by(token: str, properties: frozenset[str]) -> frozenset[str]:
    return (identities.outer(token) | ALSO.get(identities.kind(token), frozenset())) & properties
