"""The lease of the Vault store: a document written by check-and-set. Without a holder the lease is free."""

from __future__ import annotations

from datetime import UTC, datetime

from secretops.errors import StoreError
from secretops.platforms.vault.api import EMPTY, Api
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease
from secretops.stores.retry import contended

HOLDER, SINCE, TOKEN, RENEWED = "holder", "since", "token", "renewed"


class LeaseDocument(LeaseStore):
    """The document at `path`. `StoredLease.at` is its number."""

    def __init__(self, api: Api, path: str) -> None:
        self._api, self._path = api, path

    def read(self, *, patient: bool = True) -> StoredLease:
        found = self._api.read(self._path, patient=patient)
        if found is None:  # deleted by hand, or never written: then its number is 0
            known = self._api.metadata(self._path) or EMPTY
            newest = known.documents.get(known.current)
            return self.read(patient=patient) if newest and newest.is_readable else StoredLease(None, known.current)
        texts = {key: text for key in (HOLDER, SINCE, TOKEN, RENEWED) if isinstance(text := found.data.get(key), str)}
        if not texts.get(HOLDER):
            return StoredLease(None, found.number)
        try:
            since, renewals = datetime.fromisoformat(texts[SINCE]).astimezone(UTC), int(texts[RENEWED])
        except (KeyError, ValueError):  # edited by hand: each write changes the number
            since, renewals = None, found.number
        token = texts.get(TOKEN, "")
        return StoredLease(LeaseRecord(holder=texts[HOLDER], token=token, since=since, renewals=renewals), found.number)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        data = {HOLDER: ""}
        if record:
            since = record.since.isoformat() if record.since else ""
            data = {HOLDER: record.holder, SINCE: since, TOKEN: record.token, RENEWED: str(record.renewals)}
        number = self._api.write(self._path, data, after.at, patient=patient)
        return self.read(patient=patient) if number is None else StoredLease(record, number)

    def contended(self, left: str) -> StoreError:
        return contended(
            f"{self._api.mount}/{self._path} at {self._api.server.host}",
            "find the writer in the server's audit log, then try again",
            rule=f"one rotation at a time; {left}",
            change="changed the lease",
        )
