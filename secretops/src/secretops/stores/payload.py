"""A value as a text in a vendor's store: a JSON object of field -> text."""

from __future__ import annotations

import json
from dataclasses import dataclass

from pydantic import TypeAdapter

from secretops.errors import UsageError
from secretops.stores import env_file
from secretops.stores.store_errors import InvalidValueError
from secretops.values import Value

_FIELDS = TypeAdapter(dict[str, str])


@dataclass(frozen=True)
class Limit:
    most_bytes: int
    store: str


def serialize(secret: str, value: Value, limit: Limit) -> str:
    """Return a value as JSON. Raises UsageError if it is too large, or is not valid text."""
    env_file.check_value(secret, value)
    made = json.dumps(dict(value), ensure_ascii=False)
    if (size := len(made.encode())) > limit.most_bytes:
        raise UsageError(
            f"{secret}: the value has {size} bytes as JSON",
            rule=f"in {limit.store}, a secret value may have at most {limit.most_bytes} bytes; nothing was changed",
            remedy=f"supply a smaller value: secretops put {secret}",
            code="value-too-large",
        )
    return made


def parse(secret: str, version: str, text: str) -> Value:
    """Parse a value. Raises StoreError if it is not a JSON object of texts."""
    if (found := parse_fields(text)) is None:
        raise InvalidValueError(
            f"{secret}: version {version} is not a JSON object of strings",
            rule="only secretops may write versions of this secret",
            remedy=f"for a new version: secretops rotate {secret} --now, or secretops put {secret}",
            code="value-invalid",
        )
    return Value(found)


def parse_fields(text: str) -> dict[str, str] | None:
    try:
        return _FIELDS.validate_json(text, strict=True)
    except ValueError:
        return None
