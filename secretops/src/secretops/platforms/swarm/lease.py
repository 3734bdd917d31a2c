"""The lease of the Swarm store: a label of the config that keeps the versions' state."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from secretops.errors import StoreError
from secretops.platforms.swarm.version_state import Shelf
from secretops.stores import lease
from secretops.stores.lease import Found, Held, LeaseRecord, LeaseStore, Timing


class LeaseLabel(LeaseStore):
    """The label. `at` is the config as it was read, or None once it was written: its index has changed then."""

    keeps_duration = True

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf

    def read(self, *, patient: bool = True) -> Found:
        with contextlib.nullcontext() if patient else self._shelf.api.impatient():
            return self._read()

    def write(self, record: LeaseRecord | None, after: Found, *, patient: bool = True) -> Found:
        with contextlib.nullcontext() if patient else self._shelf.api.impatient():
            now = after if after.at is not None else self._read()
            if now.record != after.record:
                return now
            book = self._shelf.opened(now.at)
            book.write_term(record)
            return Found(record) if self._shelf.write(now.at, book) else self._read()

    def contended(self, left: str) -> StoreError:
        return StoreError(
            f"config {self._shelf.location.book}: somebody else changed it {len(lease.PAUSES) + 1} times in a row",
            rule=f"one rotation at a time; {left}",
            remedy="find out who writes it: docker events --filter type=config",
        )

    def _read(self) -> Found:
        found: dict[str, Any] | None = self._shelf.api.get(f"/configs/{self._shelf.location.book}")
        return Found(self._shelf.opened(found).term, found)


@contextlib.contextmanager
def hold(shelf: Shelf, holder: str, timing: Timing) -> Iterator[Held | None]:
    """Hold the lease while the block runs; None where nothing could be written. Raises as `stores.lease.hold` does.

    It is renewed over a connection of its own: the main thread may be waiting.
    """
    own = Shelf(shelf.api.another(), shelf.location)
    if own.is_nowhere:  # no value is kept, and none can be: the first write says why
        yield None
        return
    with lease.hold(LeaseLabel(own), holder, timing) as held:
        shelf.token = held.record.token
        try:
            yield held
        finally:
            shelf.token = ""  # nosec B105 - nobody holds it
