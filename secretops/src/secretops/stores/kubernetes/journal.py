"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also beside its versions."""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from datetime import UTC

from secretops.engine.journal import Entry
from secretops.errors import SecretopsError
from secretops.redaction import redact
from secretops.stores.kubernetes.book import Book
from secretops.stores.kubernetes.secrets import Secrets, Sheet

_log = logging.getLogger(__name__)


class KubernetesJournal:
    """`Journal` over a pod's log and the versions Secret. `loud`: a pod's, whose log is all it leaves."""

    def __init__(self, secrets: Secrets, versions: str, *, loud: bool) -> None:
        self._secrets, self._versions, self._loud = secrets, versions, loud

    def write(self, entry: Entry) -> None:
        """Write it down. A step that is done, or failed, is not undone or hidden because its note can't be kept."""
        if self._loud:
            time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
            print(redact(json.dumps({**asdict(entry), "time": time})), file=sys.stderr, flush=True)  # noqa: T201

        def keep(sheet: Sheet) -> None:
            Book(self._versions, sheet).keep_entry(entry)

        try:
            self._secrets.change(self._versions, keep, patience=0)
        except SecretopsError as error:
            _log.warning("%s: the last step is not kept for `secretops status`: %s", entry.secret, error.what)

    def last(self, secret: str) -> Entry | None:
        return Book(self._versions, self._secrets.read(self._versions)).last_entry(secret)
