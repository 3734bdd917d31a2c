"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also in the book."""

from __future__ import annotations

from secretops.engine.journal import Entry
from secretops.platforms.swarm.version_state import Shelf
from secretops.stores.journal import StoreJournal


class SwarmJournal(StoreJournal):
    """`Journal` over a task's log and the book. `loud`: a task's, whose log is all it leaves."""

    def __init__(self, shelf: Shelf, *, loud: bool) -> None:
        super().__init__(loud=loud)
        self._shelf = shelf

    def last(self, secret: str) -> Entry | None:
        return self._shelf.read().last_entry(secret)

    def _keep(self, entry: Entry) -> None:
        with self._shelf.api.impatient():
            self._shelf.change(lambda book: book.keep_entry(entry))
