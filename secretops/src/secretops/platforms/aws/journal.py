"""The rotation journal where no disk is kept: entries on stderr, the last failure of a secret also as a label of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from secretops.engine.journal import DONE, Entry
from secretops.platforms.aws.api import Api
from secretops.platforms.aws.labels import State, last_label
from secretops.redaction import redact
from secretops.stores.journal import StoreJournal


class SecretsManagerJournal(StoreJournal):
    """`Journal` over a Lambda's log and labels. `loud`: a rotator's, whose log is all it leaves."""

    def __init__(self, api: Api, secrets: Mapping[str, str], *, loud: bool) -> None:
        super().__init__(loud=loud)
        self._api, self._secrets = api, secrets

    def last(self, secret: str) -> Entry | None:
        if secret not in self._secrets:
            return None
        found = State(self._api.labels(self._secrets[secret])).last(secret)
        return found[1] if found else None

    def _keep(self, entry: Entry) -> None:
        if entry.outcome == DONE or (name := self._secrets.get(entry.secret)) is None:  # the version's facts say so
            return
        state = State(self._api.labels(name))
        kept = dataclasses.replace(entry, outcome=redact(entry.outcome))
        for label, source, target in state.changes(state.versions, last_label(kept)):
            self._api.move(name, label, source, target)
