"""docs/performance.md: what lies between the two marks of a part is written anew, the rest is a person's."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path


def marks(part: str) -> tuple[str, str]:
    """The lines between which the figures of a part of `make bench` stand."""
    return f"<!-- make bench, {part}: begin -->", f"<!-- make bench, {part}: end -->"


def write(page: Path, part: str, text: str) -> None:
    """Put `text` between the marks of `part`. Raises ValueError when the page hasn't both."""
    whole, (first, last) = page.read_text(), marks(part)
    before, begin, rest = whole.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError(f"{page.name} has no line {first} with a line {last} after it")
    page.write_text(f"{before}{first}\n\n{text.strip()}\n\n{last}{after}")


def spread(numbers: Sequence[float], unit: str, digits: int) -> str:
    """Median and, where there are several, the least and the most."""
    if not numbers:
        return "–"
    middle = f"{statistics.median(numbers):.{digits}f} {unit}"
    return middle if len(numbers) == 1 else f"{middle} ({min(numbers):.{digits}f}–{max(numbers):.{digits}f})"


def table(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
