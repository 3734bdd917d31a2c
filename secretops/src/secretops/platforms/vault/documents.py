"""The document at a path: the fields of a value and the id of its version, which a reader gets in one request."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from secretops.errors import UsageError
from secretops.stores import payload
from secretops.values import Value

# Key of the version's id. A document of another writer has none, or copied one.
VERSION = "secretops-version"
# Raft's limit of an entry is 1 MiB, including the names.
# https://openbao.org/docs/configuration/storage/raft/#max_entry_size
LIMIT = payload.Limit(1_000_000, "Vault or OpenBao")


def serialize(secret: str, version: str, value: Value) -> dict[str, str]:
    """Return the document of `value`. Raises UsageError for a value that readers or the store can't process."""
    if VERSION in value:
        raise UsageError(
            f"{secret} has a field {VERSION}",
            rule="this key of the document is reserved for the version; nothing was changed",
            remedy="rename the field in the stack file",
            code="field-reserved",
        )
    payload.serialize(secret, value, LIMIT)
    return {**value, VERSION: version}


def version_of(data: Mapping[str, Any] | None, number: int) -> str:
    """Return the id of a document's version; KV's own number if it has none."""
    found = (data or {}).get(VERSION)
    return found if isinstance(found, str) else str(number)


def fields_of(data: Mapping[str, Any] | None) -> dict[str, str] | None:
    """Return the fields, or None for a document that is not a value."""
    found = {name: text for name, text in (data or {}).items() if name != VERSION}
    return found if all(isinstance(text, str) for text in found.values()) else None
