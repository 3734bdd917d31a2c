"""The rotation journal of a store without a disk: entries on stderr, the last one of each secret in the store."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from datetime import UTC

from secretops.engine.journal import Entry
from secretops.errors import SecretopsError
from secretops.redaction import redact

_log = logging.getLogger(__name__)


class StoreJournal:
    """`Journal` over a process' log and its store. `loud`: a rotator's, whose log is all it leaves.

    `keep` stores an entry, without patience for a store that does not answer; `last` returns a secret's newest one.
    """

    def __init__(self, keep: Callable[[Entry], object], last: Callable[[str], Entry | None], *, loud: bool) -> None:
        self._keep, self.last, self._loud = keep, last, loud

    def write(self, entry: Entry) -> None:
        """Log and keep an entry. An entry that can't be kept neither undoes nor hides its step."""
        entry = replace(entry, outcome=redact(entry.outcome))
        if self._loud:
            time = entry.time.astimezone(UTC).isoformat(timespec="milliseconds")
            print(json.dumps({**asdict(entry), "time": time}), file=sys.stderr, flush=True)  # noqa: T201
        try:
            self._keep(entry)
        except SecretopsError as error:
            _log.warning("%s: the last step is not kept for `secretops status`: %s", entry.secret, error.what)
