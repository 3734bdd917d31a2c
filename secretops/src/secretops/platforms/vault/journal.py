"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also as a note on a path."""

from __future__ import annotations

from collections.abc import Callable

from secretops.engine.journal import Entry
from secretops.platforms.vault.api import NONE, Api
from secretops.platforms.vault.version_metadata import LAST, entry_note, last_entry
from secretops.stores.journal import StoreJournal


class VaultJournal(StoreJournal):
    """`Journal` over a job's log and notes. `loud`: a rotator's, whose log is all it leaves."""

    def __init__(self, api: Api, paths: Callable[[str], tuple[str, str] | None], *, loud: bool) -> None:
        """`paths`: where a secret lies, and what is pending of it."""
        super().__init__(loud=loud)
        self._api, self._paths = api, paths

    def last(self, secret: str) -> Entry | None:
        found = (last_entry(secret, self._api.metadata(path) or NONE) for path in self._paths(secret) or ())
        return max((one for one in found if one), key=lambda one: one.time, default=None)

    def _keep(self, entry: Entry) -> None:
        """On what readers find, or before there is any on what is pending."""
        note = {LAST: entry_note(entry)}
        for path in self._paths(entry.secret) or ():
            if self._api.note(path, note, make=False, patiently=False):
                return
