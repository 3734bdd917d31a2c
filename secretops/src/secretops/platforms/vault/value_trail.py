"""Who was given one value, wherever it lies: an audit device has the same HMAC for the same text in every line.

It finds what a trail of paths can't: a copy at another path or in another mount, and what somebody unwrapped.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from secretops.platforms.vault.location import VaultStoreLocation
from secretops.platforms.vault.trail import KINDS, UNWRAP, VaultAuditLog, counts, entries, texts
from secretops.trails.protocol import Access

HASHING = "sys/audit-hash/"
"""Where an HMAC is asked for: whoever does has the text already."""


class GivenValue:
    """`Trail` over every request of a server whose answer held one of `hashes`, or that brought it there."""

    form = VaultAuditLog.form

    def __init__(self, location: VaultStoreLocation, hashes: Collection[str]) -> None:
        self._mount, self._hashes = location.mount.strip("/"), frozenset(hashes)
        self._log = VaultAuditLog(location)

    def read(self, line: bytes) -> Iterator[Access]:
        for entry in entries(line):
            try:
                yield from self._access(entry)
            except (KeyError, TypeError, AttributeError) as error:
                raise ValueError("not a line of an audit device") from error

    def names(self, secret: str) -> frozenset[str]:
        return self._log.names(secret)

    def known(self) -> Iterable[str]:
        return self._log.known()

    def _access(self, entry: Mapping[str, Any]) -> Iterator[Access]:
        path = str(entry["request"].get("path") or "")
        given, brought = self._holds(entry.get("response")), self._holds(entry["request"])
        if not counts(entry) or not (given or brought) or path.startswith(HASHING):
            return
        operation = "unwrap" if path == UNWRAP else str(entry["request"]["operation"])
        kind, _, name = path.removeprefix(f"{self._mount}/").partition("/")
        if path.startswith(f"{self._mount}/") and kind in KINDS:
            found = self._log.access(entry, f"{operation} {kind}", name)
        else:
            found = self._log.access(entry, operation, path)
        yield dataclasses.replace(found, given=given)

    def _holds(self, side: Any) -> bool:
        return any(text in self._hashes for text in texts((side or {}).get("data")))
