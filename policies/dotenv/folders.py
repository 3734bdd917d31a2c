"""Folders of a machine in a plan."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from policies.matchers import at, listed
from policies.plan import UNKNOWN, Plan, Resource

FOLDER = "pulumi-python:dynamic/coreflux-mcp-secrets:Folder"
OF_VALUES = "versions"
"""The sub-folder that makes one a store."""


def folders(plan: Plan) -> Iterator[Resource]:
    """Each of them."""
    return plan.of_type(FOLDER)


def entries(entry: Any) -> list[tuple[Any, Any]]:
    """Key and value of each of a mapping: of one that is not known, one that is not known."""
    if entry is UNKNOWN:
        return [(UNKNOWN, UNKNOWN)]
    return [*entry.items()] if isinstance(entry, Mapping) else []


def is_dotenv(plan: Plan) -> bool:
    """Whether the stack's values lie in a folder."""
    told = at(plan.manifest, "store", "kind")
    return told == "dotenv" or any(OF_VALUES in listed(at(one.properties, "folders")) for one in folders(plan))
