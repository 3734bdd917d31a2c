"""What is wrong with an input: where, the value, the rule it breaks, the remedy."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field

LONGEST_SHOWN = 120
"""Characters of a value that a message shows; a policy document would fill the screen."""

HIDDEN = "<hidden>"


class _Missing:
    """In place of the value that should be there."""

    def __repr__(self) -> str:
        return "missing"


MISSING = _Missing()


@dataclass(frozen=True)
class Problem:
    """One wrong input. `at` is its path as the engine writes it: `rotationRules.duration`, `replicas[0].region`."""

    at: str
    value: object = field(repr=False)
    rule: str
    remedy: str

    @property
    def property(self) -> str:
        """The resource's own property that it lies in."""
        return self.at.split(".")[0].split("[")[0]

    def text(self, secret: Collection[str] = ()) -> str:
        """The message. The value stays out of it where it lies in one of the `secret` paths, or one of them in it."""
        hidden = any(self.at == path or _lies_in(self.at, path) or _lies_in(path, self.at) for path in secret)
        return f"{self.at}: {HIDDEN if hidden else _shown(self.value)}; {self.rule}; {self.remedy}"


def _lies_in(inner: str, outer: str) -> bool:
    return inner.startswith((f"{outer}.", f"{outer}["))


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False) if value is not MISSING else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
