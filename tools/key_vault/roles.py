"""Azure's role-based access: a role is a set of data actions, and an assignment grants it to a principal at a scope.

The built-in roles (tools/azure_roles.json) and the action of each operation are Microsoft's (its page "Permissions in
Azure: Microsoft.KeyVault").
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field

from tools.azure_roles import definitions, matches

_SECRETS = "Microsoft.KeyVault/vaults/secrets/"

# Name of an operation in the description -> its data action.
ACTIONS = {
    "GetSecret": _SECRETS + "getSecret/action",
    "SetSecret": _SECRETS + "setSecret/action",
    "UpdateSecret": _SECRETS + "update/action",
    "DeleteSecret": _SECRETS + "delete",
    "RecoverDeletedSecret": _SECRETS + "recover/action",
    "PurgeDeletedSecret": _SECRETS + "purge/action",
    "BackupSecret": _SECRETS + "backup/action",
    "RestoreSecret": _SECRETS + "restore/action",
    "GetSecrets": _SECRETS + "readMetadata/action",
    "GetSecretVersions": _SECRETS + "readMetadata/action",
    "GetDeletedSecret": _SECRETS + "readMetadata/action",
    "GetDeletedSecrets": _SECRETS + "readMetadata/action",
}

# An assignment for one secret allows only reading
# (https://learn.microsoft.com/azure/key-vault/general/secure-key-vault).
READS = frozenset({"GetSecret", "GetSecretVersions"})


@dataclass(frozen=True)
class Role:
    name: str
    id: str
    data_actions: tuple[str, ...]

    def allows(self, action: str) -> bool:
        return matches(action, self.data_actions)


def _built_in(name: str) -> Role:
    found = definitions()[name]
    return Role(name, found["name"], tuple(action for one in found["permissions"] for action in one["dataActions"]))


SECRETS_USER = _built_in("Key Vault Secrets User")
SECRETS_OFFICER = _built_in("Key Vault Secrets Officer")
BUILT_IN = {role.id: role for role in (SECRETS_USER, SECRETS_OFFICER)}


@dataclass(frozen=True)
class Assignment:
    """A role assignment, for one secret or, if `secret` is None, for the vault."""

    principal: str
    role: Role
    secret: str | None
    id: str


@dataclass
class Access:
    assignments: list[Assignment] = field(default_factory=list)

    def grant(self, principal: str, role: Role | str, secret: str | None = None) -> Assignment:
        made = Assignment(principal, BUILT_IN[role] if isinstance(role, str) else role, secret, str(uuid.uuid4()))
        self.assignments.append(made)
        return made

    def revoke(self, assignment: Assignment) -> None:
        self.assignments.remove(assignment)

    def allowing(self, principal: str, operation: str, secret: str | None) -> Assignment | None:
        for each in self.assignments:
            on_one = secret is not None and str(each.secret).lower() == secret.lower() and operation in READS
            if each.principal == principal and (each.secret is None or on_one) and each.role.allows(ACTIONS[operation]):
                return each
        return None
