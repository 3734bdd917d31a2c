"""Who rotates: a label of the book, taken, renewed and taken over by compare-and-swap."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

from secretops.errors import SecretopsError, StoreError
from secretops.platforms.swarm.api import PAUSES
from secretops.platforms.swarm.version_state import LeaseRecord, VersionStateClient
from secretops.stores import lease
from secretops.stores.lease import LostError, Timing


class HeldLease(lease.Held):
    """A term in the book that is ours. Renewed over a connection of its own: the main thread may be waiting."""

    def __init__(self, shelf: VersionStateClient, term: LeaseRecord, *, asked: float, timing: Timing) -> None:
        super().__init__(timing, asked=asked)
        self._shelf, self._term = shelf, term
        shelf.token = term.token

    def _renew(self, *, patiently: bool) -> bool:
        self._term = replace(self._term, renewals=self._term.renewals + 1)
        with contextlib.nullcontext() if patiently else self._shelf.api.impatient():
            return self._write(self._term)

    def _release(self) -> None:
        with self._shelf.api.impatient():
            self._write(None)

    def _write(self, term: LeaseRecord | None) -> bool:
        """Write `term` while ours is in the book. Raises StoreError, UnreachableError."""
        try:
            self._shelf.change(lambda state: state.write_lease(term))
        except LostError as lost:
            self._follower = lost.follower
            return False
        return True


@contextlib.contextmanager
def hold(shelf: VersionStateClient, holder: str, timing: Timing) -> Iterator[HeldLease | None]:
    """Hold the lease as `holder` while the block runs; None where nothing is that could be written.

    Raises LeaseHeldError, UnreachableError, StoreError.
    """
    own = VersionStateClient(shelf.api.another(), shelf.location)
    if own.is_nowhere:  # no value is kept, and none can be: the first write says why
        yield None
        return
    held, token = _take(own, holder, timing)
    shelf.token = token
    try:
        with lease.holding(held, timing):
            yield held
    finally:
        shelf.token = ""  # nosec B105 - nobody holds it


def _take(shelf: VersionStateClient, holder: str, timing: Timing) -> tuple[HeldLease, str]:
    watch = lease.Watch[LeaseRecord](timing)
    token, tried_at = secrets.token_hex(8), 0.0
    pauses = iter(PAUSES)  # one for each conflict
    while True:
        asked = time.monotonic()
        found = shelf.api.get(f"/configs/{shelf.location.book}")
        book = shelf.opened(found)
        term = book.lease
        if term and term.token == token:  # our write, whose answer was lost
            return HeldLease(shelf, term, asked=tried_at, timing=timing), token
        if term and not watch.is_over(
            term, asked=asked, held=partial(lease.held_by, term.holder, term.since), duration=term.duration
        ):
            continue
        ours = LeaseRecord(holder=holder, token=token, since=datetime.now(UTC), duration=timing.duration)
        book.write_lease(ours)
        tried_at = lease.awake_or_not()
        if shelf.write(found, book):
            return HeldLease(shelf, ours, asked=tried_at, timing=timing), token
        pause = next(pauses, None)
        if pause is None:
            raise in_conflict(shelf, "nothing was begun")
        time.sleep(pause)


def in_conflict(shelf: VersionStateClient, left: str) -> SecretopsError:
    """That somebody writes the book all the time."""
    return StoreError(
        f"config {shelf.location.book}: somebody else changed it {len(PAUSES) + 1} times in a row",
        rule=f"one rotation at a time; {left}",
        remedy="find out who writes it: docker events --filter type=config",
    )
