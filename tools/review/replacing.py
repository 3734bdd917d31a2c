"""Which changes replace a resource, according to the stand-ins' tables."""

from __future__ import annotations

import importlib
from enum import Enum, auto

FOLDER = "pulumi-python:dynamic/coreflux-mcp-secrets:Folder"

# Package -> module with the table.
_TABLES = {"aws": "tools.standin.aws", "azure-native": "tools.standin.azure", "vault": "tools.standin.vault"}


class Replaces(Enum):
    YES = auto()
    NO = auto()
    # Unknown, since there is no table for Kubernetes and Docker.
    MAYBE = auto()


def replacing(token: str, properties: frozenset[str]) -> Replaces:
    """Return whether a change of these properties replaces a resource, by its type's table."""
    if token == FOLDER:
        return Replaces.YES if "root" in properties else Replaces.NO
    module = _TABLES.get(token.partition(":")[0])
    if not module:
        return Replaces.MAYBE
    found = importlib.import_module(f"{module}.replacement").replaced_by(token, properties)
    return Replaces.YES if found else Replaces.NO
