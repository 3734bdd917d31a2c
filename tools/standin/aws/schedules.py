"""Schedules of EventBridge and Secrets Manager: rate(…) and cron(…)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

_RATE = re.compile(r"rate\(([1-9]\d*) (minute|hour|day)(s?)\)")
_CRON = re.compile(r"cron\((\S+) (\S+) (\S+) (\S+) (\S+) (\S+)\)")
# EventBridge user guide, cron expressions. Secrets Manager's have the same fields.
_FIELDS = (
    ("minutes", r"[\d,*/-]+"),
    ("hours", r"[\d,*/-]+"),
    ("day of the month", r"\?|[\d,*/LW-]+"),
    ("month", r"[\dA-Z,*/-]+"),
    ("day of the week", r"\?|[\dA-Z,*/#-]+"),
    ("year", r"[\d,*/-]+"),
)

HOURS = 24
# Minimal hours between two rotations (Secrets Manager user guide, Schedule expressions in Secrets Manager rotation).
LEAST_HOURS = 4


@dataclass(frozen=True)
class EventSchedule:
    """Accepts a rate, or six cron fields with a question mark for day or weekday. With `once`, at(time) is valid,
    too."""

    once: bool = False

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        if self.once and re.fullmatch(r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)", value):
            return None
        if rate := _RATE.fullmatch(value):
            if (rate[1] == "1") == (not rate[3]):
                return None
            return (
                "a unit must be singular after 1, and plural after any other number",
                "write rate(1 hour) or rate(2 hours)",
            )
        if cron := _CRON.fullmatch(value):
            return _wrong_fields(cron)
        also = " or at(yyyy-mm-ddThh:mm:ss)" if self.once else ""
        words = f"rate(1 hour), rate(2 days) or cron(minutes hours day month weekday year){also}"
        return f"the schedule must be {words}", "write the schedule in this form"


class RotationSchedule:
    """Accepts a schedule in hours or days, on the hour, with at least four hours between rotations."""

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, str):
            return None
        if rate := _RATE.fullmatch(value):
            if rate[2] == "minute":
                return "Secrets Manager accepts rates only in hours or days", "write rate(4 hours) or rate(1 day)"
            if rate[2] == "hour" and int(rate[1]) < LEAST_HOURS:
                return "a secret may rotate at most every four hours", "write rate(4 hours), or a longer interval"
            return None
        if cron := _CRON.fullmatch(value):
            return _wrong_fields(cron) or _wrong_for_rotation(cron)
        return (
            "the schedule must be rate(4 hours), rate(2 days) or cron(0 hours day month weekday *)",
            "write it in this form",
        )


def _wrong_fields(cron: re.Match[str]) -> tuple[str, str] | None:
    for (what, form), text in zip(_FIELDS, cron.groups(), strict=True):
        if not re.fullmatch(form, text):
            return f"{text} is not valid as {what}", "write cron(minutes hours day month weekday year)"
    if (cron[3] == "?") == (cron[5] == "?"):
        return "either the day of the month or the day of the week must be ?", "write ? in one of these two fields"
    return None


def _wrong_for_rotation(cron: re.Match[str]) -> tuple[str, str] | None:
    if cron[1] != "0":
        return "a rotation window must begin on the hour", "write 0 for the minutes"
    if cron[6] != "*":
        return "Secrets Manager does not support years", "write * for the year"
    if "W" in cron[3]:
        return "Secrets Manager does not support W", "write a day of the month"
    hours = _hours(cron[2])
    if hours is None:
        return f"{cron[2]} is not valid as hours", "write hours from 0 to 23, such as 4, 0-8 or 8/8"
    if any(later - sooner < LEAST_HOURS for sooner, later in pairwise(hours)):
        return "a secret may rotate at most every four hours", "write hours that are at least four apart, such as */4"
    return None


def _hours(field: str) -> list[int] | None:
    found: set[int] = set()
    for part in field.split(","):
        read = re.fullmatch(r"(\*|\d{1,2})(?:-(\d{1,2}))?(?:/(\d{1,2}))?", part)
        if not read or (read[1] == "*" and read[2]) or read[3] == "0":
            return None
        first = 0 if read[1] == "*" else int(read[1])
        last = int(read[2]) if read[2] else HOURS - 1 if read[1] == "*" or read[3] else first
        if not first <= last < HOURS:
            return None
        found |= {*range(first, last + 1, int(read[3] or 1))}
    return sorted(found)
