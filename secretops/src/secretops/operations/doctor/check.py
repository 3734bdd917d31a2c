"""One thing that doctor looks at, and what it says of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from secretops.errors import SecretopsError


class Level(StrEnum):
    """How it stands. Unknown is not well: it could not be looked at, or only a person can say."""

    OK = "ok"
    ATTENTION = "attention"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Result:
    """What one check found: what is there, the rule it is measured by, and what to do. Never a value of a secret."""

    level: Level
    value: str
    rule: str = ""
    remedy: str = ""

    @property
    def told(self) -> tuple[str, str, str]:
        """All that it says but for its level."""
        return self.value, self.rule, self.remedy

    @classmethod
    def of(cls, error: SecretopsError, level: Level) -> Result:
        """What an error says, as a finding."""
        return cls(level, error.what, error.rule, error.remedy)


class Check(Protocol):
    """One small object a check. A new one is a class and a line in `doctor.checks`."""

    @property
    def name(self) -> str: ...

    def look(self) -> Result:
        """Look, and change nothing. What it raises as a SecretopsError makes it UNKNOWN."""


def ok(value: str) -> Result:
    return Result(Level.OK, value)


def attention(value: str, rule: str, remedy: str) -> Result:
    return Result(Level.ATTENTION, value, rule, remedy)


def unknown(value: str, rule: str, remedy: str) -> Result:
    return Result(Level.UNKNOWN, value, rule, remedy)
