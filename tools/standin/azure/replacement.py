"""Which changes make a new resource: where it lies and what it is called, and a table for the rest.

The provider's schema says it for every property, and is not to be had here. Where the table is silent the stand-in
shows an update in place, so a replacement that only the real provider knows of is not seen on it.
"""

from __future__ import annotations

from collections.abc import Mapping

from tools.standin.azure import identities

ALSO: Mapping[str, frozenset[str]] = {
    # Role assignments - Create: who, what and where are one's identity; what is said of it is not.
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
    """Of a resource's `properties`, those whose change makes a new one."""
    return (identities.outer(token) | ALSO.get(identities.kind(token), frozenset())) & properties
