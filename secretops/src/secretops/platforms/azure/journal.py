"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also as a tag of it."""

from __future__ import annotations

from collections.abc import Mapping

from secretops.engine.journal import Entry
from secretops.platforms.azure.api import Api
from secretops.platforms.azure.tags import State, with_last
from secretops.stores.journal import StoreJournal


class KeyVaultJournal(StoreJournal):
    """`Journal` over a job's log and tags. `loud`: a rotator's, whose log is all it leaves."""

    def __init__(self, api: Api, secrets: Mapping[str, str], pending: Mapping[str, str], *, loud: bool) -> None:
        super().__init__(loud=loud)
        self._api, self._secrets, self._pending = api, secrets, pending

    def last(self, secret: str) -> Entry | None:
        return self._state(secret).last(secret)

    def _keep(self, entry: Entry) -> None:
        if carrier := self._state(entry.secret).carrier:
            apart, kept = carrier
            name = (self._pending if apart else self._secrets)[entry.secret]
            self._api.note(name, kept.id, with_last(kept, entry))

    def _state(self, secret: str) -> State:
        if secret not in self._secrets:
            return State((), ())
        return State.of(self._api, self._secrets[secret], self._pending[secret])
