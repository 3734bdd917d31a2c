"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also as a label of it."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC

from secretops.engine.journal import Entry
from secretops.errors import SecretopsError
from secretops.redaction import redact
from secretops.stores.secrets_manager.api import Api
from secretops.stores.secrets_manager.labels import State, last_label

_log = logging.getLogger(__name__)


class SecretsManagerJournal:
    """`Journal` over a Lambda's log and labels. `loud`: a rotator's, whose log is all it leaves."""

    def __init__(self, api: Api, secrets: Mapping[str, str], *, loud: bool) -> None:
        self._api, self._secrets, self._loud = api, secrets, loud

    def write(self, entry: Entry) -> None:
        """Write it down. A step that is done, or failed, is not undone or hidden because its note can't be kept."""
        if self._loud:
            time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
            print(redact(json.dumps({**asdict(entry), "time": time})), file=sys.stderr, flush=True)  # noqa: T201
        try:
            self._keep(entry)
        except SecretopsError as error:
            _log.warning("%s: the last step is not kept for `secretops status`: %s", entry.secret, error.what)

    def last(self, secret: str) -> Entry | None:
        if secret not in self._secrets:
            return None
        found = State(self._api.labels(self._secrets[secret])).last(secret)
        return found[1] if found else None

    def _keep(self, entry: Entry) -> None:
        if (name := self._secrets.get(entry.secret)) is None:
            return
        state = State(self._api.labels(name))
        kept = dataclasses.replace(entry, outcome=redact(entry.outcome))
        for label, source, target in state.changes(state.versions, last_label(kept)):
            self._api.move(name, label, source, target)
