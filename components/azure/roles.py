"""Azure's built-in roles, and their assignments. Azure stores a reason with each assignment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
from pulumi_azure_native import authorization

from .principals import AzurePlace


@dataclass(frozen=True)
class Role:
    """A built-in role of Azure. Its GUID is the same in every tenant."""

    name: str
    guid: str


SECRETS_USER = Role("Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6")
SECRETS_OFFICER = Role("Key Vault Secrets Officer", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7")
BLOB_CONTRIBUTOR = Role("Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe")
LOG_READER = Role("Log Analytics Reader", "73c42c96-874c-492b-b04d-ab87d138a893")
ACR_PULL = Role("AcrPull", "7f951dda-4ed3-4680-a7ca-43fe172d538d")
REPOSITORY_READER = Role("Container Registry Repository Reader", "b93aa761-3e63-49ed-ac28-beffa264f7ac")

# None of these roles allows assigning roles.
ROLES = (SECRETS_USER, SECRETS_OFFICER, BLOB_CONTRIBUTOR, LOG_READER, ACR_PULL, REPOSITORY_READER)


@dataclass(frozen=True, kw_only=True)
class Grants:
    name: str
    parent: pulumi.ComponentResource
    place: AzurePlace

    def assign(
        self,
        what: str,
        role: Role,
        object_id: pulumi.Input[str],
        *,
        scope: pulumi.Input[str],
        why: str,
        person: bool = False,
        after: Sequence[pulumi.Resource] = (),
    ) -> authorization.RoleAssignment:
        """Assign a role to an identity or a user, after the resources `after` exist.

        It sends the principal's type, because Entra may not find a new identity without it.
        """
        kinds = authorization.PrincipalType
        definition = f"providers/Microsoft.Authorization/roleDefinitions/{role.guid}"
        # Azure returns the role's id with the scope's subscription
        # (https://github.com/Azure/azure-rest-api-specs/issues/10939).
        subscription = pulumi.Output.from_input(scope).apply(lambda known: "/".join(known.split("/")[:3]))
        return authorization.RoleAssignment(
            f"{self.name}-{what}",
            role_definition_id=pulumi.Output.concat(subscription, "/", definition),
            principal_id=object_id,
            principal_type=kinds.USER if person else kinds.SERVICE_PRINCIPAL,
            scope=scope,
            description=why,
            opts=self.place.under(self.parent, after=after),
        )
