"""One thing that doctor looks at, and what it says of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from secretops.errors import SecretopsError


class Level(StrEnum):
    """How it stands. Unknown is not well: it could not be looked at, or only a person can say."""

    OK = "ok"
    ATTENTION = "attention"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Repair:
    """What secretops does about a finding when it is asked to: an operation that it has anyway (docs/adr/0014).

    Only where nothing is left for a person to decide, and nothing that works is taken away. What `pulumi up` mends
    stays a remedy.
    """

    words: str
    """What it does, as an operator is asked. Findings with the same words are mended by doing it once."""
    run: Callable[[], str] = field(compare=False, repr=False)
    """Do it, and say what was done. Raises SecretopsError. What writes a value, a fact or a label takes the lease."""


@dataclass(frozen=True)
class Result:
    """What one check found: what is there, the rule it is measured by, and what to do. Never a value of a secret."""

    level: Level
    value: str
    rule: str = ""
    remedy: str = ""
    repair: Repair | None = None
    """None: only a person, or `pulumi up`, can mend it."""

    @property
    def told(self) -> tuple[str, str, str]:
        """All that it says but for its level."""
        return self.value, self.rule, self.remedy

    @property
    def shown(self) -> dict[str, str | None]:
        """It as JSON has it: of a repair, its words."""
        return {
            "level": self.level,
            "value": self.value,
            "rule": self.rule,
            "remedy": self.remedy,
            "repair": self.repair.words if self.repair else None,
        }

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


def attention(value: str, rule: str, remedy: str, repair: Repair | None = None) -> Result:
    return Result(Level.ATTENTION, value, rule, remedy, repair)


def unknown(value: str, rule: str, remedy: str) -> Result:
    return Result(Level.UNKNOWN, value, rule, remedy)
