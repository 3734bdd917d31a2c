"""The rotation journal where no disk is kept: entries on stderr, the last one of a secret also in the store itself."""

from __future__ import annotations

import json
import logging
import sys
from abc import ABC, abstractmethod
from dataclasses import asdict
from datetime import UTC

from secretops.engine.journal import Entry
from secretops.errors import SecretopsError
from secretops.redaction import redact

_log = logging.getLogger(__name__)


class StoreJournal(ABC):
    """`Journal` over a process' log and its store. `loud`: a rotator's, whose log is all it leaves."""

    def __init__(self, *, loud: bool) -> None:
        self._loud = loud

    def write(self, entry: Entry) -> None:
        """Write it down. A step that is done, or failed, is not undone or hidden because its note can't be kept."""
        if self._loud:
            time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
            print(redact(json.dumps({**asdict(entry), "time": time})), file=sys.stderr, flush=True)  # noqa: T201
        try:
            self._keep(entry)
        except SecretopsError as error:
            _log.warning("%s: the last step is not kept for `secretops status`: %s", entry.secret, error.what)

    @abstractmethod
    def last(self, secret: str) -> Entry | None:
        """The newest entry about a secret. Raises StoreError."""

    @abstractmethod
    def _keep(self, entry: Entry) -> None:
        """Keep it as its secret's last one, without patience. Raises SecretopsError."""
