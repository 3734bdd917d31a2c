"""What a single value may be. Each says of a wrong one the rule and the remedy."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Protocol

from tools.standin.sdk_types import did_you_mean


class Form(Protocol):
    def problem(self, value: Any) -> tuple[str, str] | None:
        """Rule and remedy, or nothing. A value of another type than it is about is no matter of it."""


@dataclass(frozen=True)
class Between:
    """A number in a range; `also` are allowed besides; more than one of them only as a multiple of `step`."""

    least: int
    most: int
    also: Collection[int] = ()
    step: int = 1

    def problem(self, value: Any) -> tuple[str, str] | None:
        if not isinstance(value, int | float) or value in self.also:
            return None
        if self.least <= value <= self.most and value % self.step == 0:
            return None
        also = "".join(f"{one} or " for one in self.also)
        steps = f" in steps of {self.step}" if self.step > 1 else ""
        return f"AWS takes {also}{self.least} to {self.most}{steps}", "stay within that"


@dataclass(frozen=True)
class OneOf:
    """One of a few."""

    allowed: tuple[Any, ...]

    def problem(self, value: Any) -> tuple[str, str] | None:
        if value in self.allowed:
            return None
        return f"AWS takes {', '.join(map(str, self.allowed))}", did_you_mean(
            str(value), [str(one) for one in self.allowed]
        )


@dataclass(frozen=True)
class Like:
    """A text of a form, in words."""

    pattern: str
    words: str

    def problem(self, value: Any) -> tuple[str, str] | None:
        if isinstance(value, str) and not re.fullmatch(self.pattern, value):
            return f"it has to be {self.words}", "write it in that form"
        return None


ARN = Like(r"arn:aws[a-z-]*:[a-z0-9-]+:[a-z0-9-]*:(\d{12}|aws)?:.+", "an ARN")

FUNCTION_ARN = Like(
    r"arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,64}(:(\$LATEST|[A-Za-z0-9_-]+))?",
    "the ARN of a function",
)
"""Lambda API reference, GetFunction."""
