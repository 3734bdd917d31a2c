"""What every store says in the same words when it refuses: the value is a person's to decide about, not lost."""

from __future__ import annotations

from collections.abc import Iterable

from secretops.errors import NotFoundError, StoreError


def edited(secret: str, what: str, where: str) -> StoreError:
    """What is delivered is no version of ours: somebody's work would be lost."""
    return StoreError(
        what,
        rule=f"the value of {secret} is secretops' to write; nothing was overwritten",
        remedy=f"to keep it: secretops put {secret}; to undo it: remove {where}, then secretops tick",
    )


def lacking(secret: str, fields: Iterable[str]) -> StoreError:
    """The stack asks for fields that the current value was made without."""
    return StoreError(
        f"{secret}: its current value has no {', '.join(fields)}",
        rule="the stack asks for this field, and the value is of before it did",
        remedy=f"secretops put {secret}",
    )


def no_value(secret: str, version: str) -> NotFoundError:
    """The version has no value: there is none, or it is retired and its value forgotten."""
    return NotFoundError(
        f"{secret}: there is no value of version {version}", remedy="secretops status lists the versions kept"
    )
