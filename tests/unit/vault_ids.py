"""Make the values that Vault would compute, for the mocks."""

from collections.abc import Mapping
from typing import Any

from tools.standin.cloud import Resource
from tools.standin.vault import identities


def made_by_vault(token: str, resource: str, inputs: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    resource_id, made = identities.identity(Resource(urn=resource, token=token, name=resource, inputs=inputs))
    return resource_id, {**made, **inputs}
