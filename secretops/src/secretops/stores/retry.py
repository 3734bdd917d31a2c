"""Pauses between attempts of a request, or of a compare-and-swap."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterable, Iterator, Sized

from secretops.errors import StoreError

# Seconds to wait after each write that was refused because another process wrote first.
CONFLICT_PAUSES = (0.05, 0.1, 0.2, 0.4)
UNCHANGED = "a write must not overwrite a change that secretops has not read; nothing was overwritten"


class Retries:
    def __init__(self, pauses: Iterable[float] | None = None, *, seconds: float = math.inf) -> None:
        """Set the `pauses` between attempts, in seconds; by default CONFLICT_PAUSES. No attempt begins later than
        `seconds` after this call."""
        self._pauses = iter(CONFLICT_PAUSES if pauses is None else pauses)
        self._end = time.monotonic() + seconds

    def pause(self, requested: float | None = None) -> bool:
        """Sleep until the next attempt. Return False if none is left. `requested`: seconds that the server requires in
        place of the next pause."""
        if (pause := next(self._pauses, None)) is None:
            return False
        pause = requested or pause
        if time.monotonic() + pause > self._end:
            return False
        time.sleep(pause)
        return True


def contended(
    what: str, remedy: str, *, rule: str = UNCHANGED, change: str = "changed it", pauses: Sized = CONFLICT_PAUSES
) -> StoreError:
    times = len(pauses) + 1
    text = f"{what}: another process {change} {times} times in a row"
    return StoreError(text, rule=rule, remedy=remedy, code="write-conflict")


def doubling(first: float, longest: float) -> Iterator[float]:
    """Yield pauses without end, each twice the previous one, up to `longest` seconds."""
    for power in itertools.count():
        yield min(first * 2**power, longest)
