"""A value as the one JSON object of fields and their texts that ECS and other readers take fields from."""

from __future__ import annotations

import json

from pydantic import TypeAdapter

from secretops.errors import StoreError, UsageError
from secretops.stores import env_file
from secretops.stores.secrets_manager.api import Found
from secretops.values import Value

MOST_BYTES = 65_536
"""Of one value: https://docs.aws.amazon.com/secretsmanager/latest/userguide/reference_limits.html"""

_VALUE = TypeAdapter(dict[str, str])


def of(secret: str, value: Value) -> str:
    """The document of `value`. Raises UsageError for what no reader could be given."""
    for field, text in value.items():
        env_file.check_text(f"{secret}.{field}", text)
    made = json.dumps(dict(value), ensure_ascii=False)
    if (size := len(made.encode())) > MOST_BYTES:
        raise UsageError(
            f"{secret}: its value is {size} bytes as JSON",
            rule=f"a secret of Secrets Manager holds {MOST_BYTES} bytes at most; nothing was changed",
            remedy="give a smaller value, or keep what is so large elsewhere and its key here",
        )
    return made


def value(secret: str, found: Found) -> Value:
    """What a version of ours says. Raises StoreError when it was not written by us."""
    if (read := fields(found)) is None:
        raise StoreError(
            f"{secret}: version {found.version} does not read as a value",
            rule="one JSON object of fields and their texts, written by secretops alone",
            remedy=f"supply a new one: secretops put {secret}",
        )
    return Value(read)


def fields(found: Found) -> dict[str, str] | None:
    """What somebody wrote, if it reads as a value."""
    try:
        return _VALUE.validate_json(found.text, strict=True)
    except ValueError:
        return None
