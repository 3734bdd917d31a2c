"""Errors of a stack file. Each has what is wrong, the rule and the remedy, and never contains a secret value."""

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
    """One error of a stack file. `what` begins with the wrong key."""

    what: str
    rule: str
    remedy: str
    code: str

    def __str__(self) -> str:
        first = f"{self.what} [{self.code}]"
        what, rule, remedy = (printable(text) for text in (first, self.rule, self.remedy))
        return "\n".join([_wrapped(what, ""), _wrapped(rule, "    "), _wrapped(remedy, "    -> ")])


# Maximum width of an error's lines; the engine indents them by four more. Words such as long ARNs are not split.
WIDTH = 76


def _wrapped(text: str, begin: str) -> str:
    return textwrap.fill(
        text,
        WIDTH if begin else WIDTH - 2,  # the first line is indented by two more
        initial_indent=begin,
        subsequent_indent=" " * (len(begin) or 4),
        break_long_words=False,
        break_on_hyphens=False,
    )


def place_of(problem: Problem) -> str:
    """Return the path of the wrong key, for example broker.port."""
    return problem.what.partition(": ")[0]


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """Return a remedy that suggests the known word nearest to `word`, or `otherwise` if none is near."""
    folded = {candidate.casefold(): candidate for candidate in known if len(word) <= _LONGEST_WORD}
    near = [name for name in folded if word and name.startswith(word.casefold())]
    near += difflib.get_close_matches(word.casefold(), folded, n=1, cutoff=0.7)
    return f"did you mean {folded[near[0]]}?{_foreign(word)}" if near else otherwise


# Maximum number of characters of a word to compare with known ones.
_LONGEST_WORD = 60


def _foreign(text: str) -> str:
    """Return a note with the code points of letters that are not ASCII: some look like ASCII, others are invisible."""
    found = dict.fromkeys(letter for letter in text if not letter.isascii())
    return f" (it has U+{', U+'.join(f'{ord(letter):04X}' for letter in [*found][:3])})" if found else ""


def shown(entry: Any, known: Iterable[str] = ()) -> str:
    """Return an entry for an error message. Text may be a secret value, so only words are printed, and only where a
    word of `known` is expected."""
    if entry is None or entry == "":
        return "nothing" if entry is None else "an empty text"
    if isinstance(entry, Mapping | list | tuple):
        return "a section" if isinstance(entry, Mapping) else "a list"
    if isinstance(entry, str):
        word = known and _WORD.fullmatch(entry)
        near = word or did_you_mean(entry, known, otherwise="")
        return json.dumps(entry, ensure_ascii=False) if near else "text (not shown)"
    return json.dumps(entry) if abs(entry) < _LARGEST else "a number (not shown)"


# At most 20 characters: a word of letters, or words joined by dashes or underscores.
_WORD = re.compile(r"(?=.{1,20}$)[A-Za-z]+([_-][A-Za-z]+)*")

# Larger numbers are not printed: they may be passwords, and no setting is that large.
_LARGEST = 10_000_000
