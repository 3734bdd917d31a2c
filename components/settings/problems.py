"""What is wrong with a stack file, told to a person: the value, the rule, the remedy, and never a secret."""

from __future__ import annotations

import difflib
import json
import re
import textwrap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from secretops.printable import printable


@dataclass(frozen=True)
class Problem:
    """One error of a stack file: what and where, the rule it breaks, the remedy, and the code of the message."""

    what: str
    rule: str
    remedy: str
    code: str
    """Identifies the message, whatever its words: tests and pages refer to it."""

    def __str__(self) -> str:
        first = f"{self.what} [{self.code}]"
        what, rule, remedy = (printable(text) for text in (first, self.rule, self.remedy))
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
    folded = {candidate.casefold(): candidate for candidate in known if len(word) <= _LONGEST_WORD}
    near = [name for name in folded if word and name.startswith(word.casefold())]
    near += difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
    return f"did you mean {folded[near[0]]}?{_foreign(word)}" if near else otherwise


# Characters of a word that is compared with those there are.
_LONGEST_WORD = 60


def _foreign(text: str) -> str:
    """Which of its letters are none of English's: some look as if they were, and others don't show at all."""
    found = dict.fromkeys(letter for letter in text if not letter.isascii())
    return f" (it has U+{', U+'.join(f'{ord(letter):04X}' for letter in [*found][:3])})" if found else ""


def shown(entry: Any, known: Iterable[str] = ()) -> str:
    """Return an entry as an error prints it: of text only a word of letters where a `known` one belongs, or nearly one.

    All else may be a value.
    """
    if entry is None or entry == "":
        return "nothing" if entry is None else "an empty text"
    if isinstance(entry, Mapping | list | tuple):
        return "a section" if isinstance(entry, Mapping) else "a list"
    if isinstance(entry, str):
        word = known and _WORD.fullmatch(entry)
        near = word or did_you_mean(entry, known, otherwise="")
        return json.dumps(entry, ensure_ascii=False) if near else "text (not shown)"
    return json.dumps(entry) if abs(entry) < _LARGEST else "a number (not shown)"


# A word of at most 20 letters, or several with dashes between them. A password of letters alone has no other place here
# than one that takes any text.
_WORD = re.compile(r"(?=.{1,20}$)[A-Za-z]+([_-][A-Za-z]+)*")

# The smallest number that is not printed: the settings' own are smaller, and a password of digits is not.
_LARGEST = 10_000_000
