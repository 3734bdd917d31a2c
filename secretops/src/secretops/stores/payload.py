"""A value as the text that a cloud's store keeps: one JSON object of fields and their texts, which others can read."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import TypeAdapter

from secretops.errors import StoreError, UsageError
from secretops.stores import env_file
from secretops.values import Value

_FIELDS = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Limit:
    """How much a secret of a store holds."""

    most_bytes: int
    store: str


def written(secret: str, value: Value, limit: Limit) -> str:
    """The document of `value`. Raises UsageError for what no reader could be given, or the store does not hold."""
    for field, text in value.items():
        env_file.check_text(f"{secret}.{field}", text)
    made = json.dumps(dict(value), ensure_ascii=False)
    if (size := len(made.encode())) > limit.most_bytes:
        raise UsageError(
            f"{secret}: its value is {size} bytes as JSON",
            rule=f"a secret of {limit.store} holds {limit.most_bytes} bytes at most; nothing was changed",
            remedy="give a smaller value, or keep what is so large elsewhere and its key here",
        )
    return made


def read(secret: str, version: str, text: str) -> Value:
    """What a version of ours says. Raises StoreError when it was not written by us."""
    if (found := fields(text)) is None:
        raise StoreError(
            f"{secret}: version {version} does not read as a value",
            rule="one JSON object of fields and their texts, written by secretops alone",
            remedy=f"supply a new one: secretops put {secret}",
        )
    return Value(found)


def fields(text: str) -> dict[str, str] | None:
    """What somebody wrote, if it reads as a value."""
    try:
        return _FIELDS.validate_json(text, strict=True)
    except ValueError:
        return None
