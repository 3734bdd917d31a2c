"""Make ids for the mocks, because Azure's own ids are random."""

import hashlib
import uuid
from collections.abc import Mapping
from typing import Any

from tools.standin.azure import identities

SUBSCRIPTION, TENANT = "11111111-2222-3333-4444-555555555555", "66666666-7777-8888-9999-000000000000"
DOMAIN = "happyhill-01234567.westeurope.azurecontainerapps.io"


def object_id(identity: str) -> str:
    return str(uuid.UUID(hashlib.md5(f"object {identity}".encode(), usedforsecurity=False).hexdigest()))


def client_id(identity: str) -> str:
    return str(uuid.UUID(hashlib.md5(f"client {identity}".encode(), usedforsecurity=False).hexdigest()))


def group_id(group: str) -> str:
    return f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{group}"


def made_by_azure(token: str, resource: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the id and outputs of a resource. As in Azure, a list of identities becomes a map."""
    at = identities.Place(token=token, urn=resource, subscription=SUBSCRIPTION, tenant=TENANT, inputs=inputs)
    name = at.id.rpartition("/")[2]
    outputs = {**inputs, "name": name}
    kind = identities.kind(token)
    if kind.startswith("app:") and "identity" in inputs:
        described: dict[str, Any] = {one: {} for one in inputs["identity"]["userAssignedIdentities"]}
        outputs["identity"] = {**inputs["identity"], "userAssignedIdentities": described}
    if kind == identities.IDENTITY:
        outputs |= {"principalId": object_id(name), "clientId": client_id(name), "tenantId": TENANT}
    if kind == "operationalinsights:Workspace":
        outputs["customerId"] = object_id(name)
    if kind == "app:ManagedEnvironment":
        outputs["defaultDomain"] = DOMAIN
    return at.id, outputs
