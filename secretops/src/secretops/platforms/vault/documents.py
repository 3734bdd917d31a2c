"""The document at a path: the fields of a value and the id of its version, which every reader gets in one read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secretops.errors import UsageError
from secretops.stores import payload
from secretops.values import Value

# The key of a version's id. A document of somebody else has none, or that of the version it was made of.
VERSION = "secretops-version"
# Raft takes entries of 1 MiB, of which the names need some.
# https://openbao.org/docs/configuration/storage/raft/#max_entry_size
LIMIT = payload.Limit(1_000_000, "Vault or OpenBao")


def written(secret: str, version: str, value: Value) -> dict[str, str]:
    """Return the document of `value`. Raises UsageError for what readers or the store can't take."""
    if VERSION in value:
        raise UsageError(
            f"{secret}: a field is called {VERSION}",
            rule="that key of the document says which version it is; nothing was changed",
            remedy="give the field another name in the stack's file",
        )
    payload.serialize(secret, value, LIMIT)
    return {**value, VERSION: version}


def version_of(data: Mapping[str, Any] | None, number: int) -> str:
    """Return the id of a document's version; KV's own number where it has none."""
    found = (data or {}).get(VERSION)
    return found if isinstance(found, str) else str(number)


def fields_of(data: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the fields and their texts; None for a document that is no value."""
    found = {name: text for name, text in (data or {}).items() if name != VERSION}
    return found if all(isinstance(text, str) for text in found.values()) else None
