"""What a change makes anew, where no provider with a state was asked: the tables of the stand-ins."""

from __future__ import annotations

import importlib

_TABLES = {"aws": "tools.standin.aws", "azure-native": "tools.standin.azure", "vault": "tools.standin.vault"}
"""By the package of a type. Of Kubernetes and Docker there is none: their changes are told as updates."""


def replacing(token: str, properties: frozenset[str]) -> frozenset[str]:
    """Of a resource's `properties` that change, those that make a new one as far as the table knows."""
    module = _TABLES.get(token.partition(":")[0])
    if not module:
        return frozenset()
    found: frozenset[str] = importlib.import_module(f"{module}.replacement").replaced_by(token, properties)
    return found
