"""A problem of an input: place, value, rule and remedy."""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass, field

# Maximum characters of a value in a message.
LONGEST_SHOWN = 120

HIDDEN = "<hidden>"


class _Missing:
    def __repr__(self) -> str:
        return "missing"


MISSING = _Missing()


@dataclass(frozen=True)
class Problem:
    """A problem of the input `at`, a path as in Pulumi's engine: `rotationRules.duration`, `replicas[0].region`."""

    at: str
    value: object = field(repr=False)
    rule: str
    remedy: str

    @property
    def property(self) -> str:
        return self.at.split(".")[0].split("[")[0]

    def text(self, secret: Collection[str] = ()) -> str:
        """Return the message. Hides the value if it contains, or is part of, the value at a path in `secret`."""
        hidden = any(self.at == path or _lies_in(self.at, path) or _lies_in(path, self.at) for path in secret)
        return f"{self.at}: {HIDDEN if hidden else _shown(self.value)}; {self.rule}; {self.remedy}"


def _lies_in(inner: str, outer: str) -> bool:
    return inner.startswith((f"{outer}.", f"{outer}["))


def _shown(value: object) -> str:
    text = json.dumps(value, default=str, ensure_ascii=False) if value is not MISSING else repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"
