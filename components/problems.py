"""What is wrong with a stack file, told to a person: the value, the rule, the remedy, and never a secret."""

from __future__ import annotations

import difflib
import json
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secretops.printable import printable


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: what and where, the rule it breaks, the remedy."""

    what: str
    rule: str
    remedy: str

    def __str__(self) -> str:
        what, rule, remedy = (printable(text) for text in (self.what, self.rule, self.remedy))
        return "\n".join([_wrapped(what, ""), _wrapped(rule, "    "), _wrapped(remedy, "    -> ")])


WIDTH = 76
"""Columns of a refusal's lines: the engine puts four before them. No word is cut: a longer ARN stays whole."""


def _wrapped(text: str, begin: str) -> str:
    return textwrap.fill(
        text,
        WIDTH if begin else WIDTH - 2,  # what is wrong comes after two more
        initial_indent=begin,
        subsequent_indent=" " * (len(begin) or 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def place_of(problem: Problem) -> str:
    """Where in the stack file, for example broker.port."""
    return problem.what.partition(": ")[0]


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str = "take it out") -> str:
    """The nearest word there is, as a remedy."""
    folded = {candidate.casefold(): candidate for candidate in known}
    near = [name for name in folded if word and name.startswith(word.casefold())]
    near += difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
    return f"did you mean {folded[near[0]]}?{_foreign(word)}" if near else otherwise


def _foreign(text: str) -> str:
    """Which of its letters are none of English's: some look as if they were, and others don't show at all."""
    found = dict.fromkeys(letter for letter in text if not letter.isascii())
    return f" (it has U+{', U+'.join(f'{ord(letter):04X}' for letter in [*found][:3])})" if found else ""


def shown(entry: Any) -> str:
    """An entry as a message repeats it."""
    match entry:
        case None:
            return "nothing"
        case Mapping():
            return "a section"
        case list() | tuple():
            return "a list"
    text = json.dumps(entry, ensure_ascii=False)
    half = (_WIDEST - 5) // 2
    return (text if len(text) <= _WIDEST else f"{text[:half]} ... {text[-half:]}") + _foreign(text)


_WIDEST = 120
"""Characters of an entry that a message repeats; an ARN has about 90. A longer one is cut in its middle."""
