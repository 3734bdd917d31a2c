"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also beside its versions."""

from __future__ import annotations

from secretops.engine.journal import Entry
from secretops.platforms.kubernetes.secrets import Secrets, Sheet
from secretops.platforms.kubernetes.version_state import Book
from secretops.stores.journal import StoreJournal


class KubernetesJournal(StoreJournal):
    """`Journal` over a pod's log and the versions Secret. `loud`: a pod's, whose log is all it leaves."""

    def __init__(self, secrets: Secrets, versions: str, *, loud: bool) -> None:
        super().__init__(loud=loud)
        self._secrets, self._versions = secrets, versions

    def last(self, secret: str) -> Entry | None:
        return Book(self._versions, self._secrets.read(self._versions)).last_entry(secret)

    def _keep(self, entry: Entry) -> None:
        def keep(sheet: Sheet) -> None:
            Book(self._versions, sheet).keep_entry(entry)

        self._secrets.change(self._versions, keep, patience=0)
