"""Text that somebody else chose, made fit to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """`text` without what would move a terminal's cursor: whoever sends a request chooses some of it."""
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
