"""Constraints on an input, each with its rule and remedy."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from tools.standin.sdk_types import did_you_mean


class Form(Protocol):
    def problem(self, value: Any) -> tuple[str, str] | None:
        """Return rule and remedy; None if the value is valid or of another type."""


@dataclass(frozen=True)
class Between:
    """Accepts a number that is in `also`, or in the range and a multiple of `step`."""

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
        return f"the value must be {also}{self.least} to {self.most}{steps}", "write a number in this range"


@dataclass(frozen=True)
class OneOf:
    allowed: tuple[Any, ...]

    def problem(self, value: Any) -> tuple[str, str] | None:
        if value in self.allowed:
            return None
        return f"the value must be {' or '.join(map(str, self.allowed))}", did_you_mean(
            str(value), [str(one) for one in self.allowed]
        )


@dataclass(frozen=True)
class Like:
    pattern: str
    words: str

    def problem(self, value: Any) -> tuple[str, str] | None:
        if isinstance(value, str) and not re.fullmatch(self.pattern, value):
            return f"the value must be {self.words}", "write the value in this form"
        return None


def found(value: Any, path: str, at: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of each match of `path`, in which `[]` means each entry of a list."""
    if not path:
        yield at, value
        return
    head, _, rest = path.partition(".")
    name = head.removesuffix("[]")
    inner = value.get(name) if isinstance(value, Mapping) else None
    place = f"{at}.{name}" if at else name
    if inner is None:
        return
    if head.endswith("[]"):
        for index, item in enumerate(inner if isinstance(inner, list) else []):
            yield from found(item, rest, f"{place}[{index}]")
    else:
        yield from found(inner, rest, place)
