"""The cron expression of a job (Container Apps, scheduled jobs): five fields, in UTC."""

from __future__ import annotations

import re
from typing import Any

# Minimum and maximum of each field.
FIELDS = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 6))

_PART = re.compile(r"(?:\*|(\d+)(?:-(\d+))?)(?:/([1-9]\d*))?")


class Cron:
    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        given = value.split()
        if len(given) != len(FIELDS):
            return (
                "a cron expression must have five fields",
                "write minute, hour, day, month and weekday, like 0 * * * *",
            )
        for text, (what, least, most) in zip(given, FIELDS, strict=True):
            for part in text.split(","):
                if not _is_one(part, least, most):
                    return f"{part} is not valid as {what}", f"write {least} to {most}, a range a-b, or *"
        return None


def _is_one(part: str, least: int, most: int) -> bool:
    read = _PART.fullmatch(part)
    if not read:
        return False
    first, last = read[1], read[2]
    if first is None:
        return True
    return least <= int(first) <= int(last or first) <= most
