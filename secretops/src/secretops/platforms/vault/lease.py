"""The lease of the Vault store: one document, written by check-and-set. A free one has an empty holder."""

from __future__ import annotations

from datetime import UTC, datetime

from secretops.errors import StoreError
from secretops.platforms.vault.api import NONE, Api
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease
from secretops.stores.retry import contended

HOLDER, SINCE, TOKEN, RENEWED = "holder", "since", "token", "renewed"


class LeaseDocument(LeaseStore):
    """The document at `path`. Each write makes a new version of it, whose number the next one has to follow."""

    def __init__(self, api: Api, path: str) -> None:
        self._api, self._path = api, path

    def read(self, *, patient: bool = True) -> StoredLease:
        found = self._api.read(self._path, patiently=patient)
        if found is None:  # deleted by hand, or there never was one: then its number is 0
            known = self._api.metadata(self._path) or NONE
            newest = known.versions.get(known.current)
            return self.read(patient=patient) if newest and newest.is_given else StoredLease(None, known.current)
        said = {key: text for key in (HOLDER, SINCE, TOKEN, RENEWED) if isinstance(text := found.data.get(key), str)}
        if not said.get(HOLDER):
            return StoredLease(None, found.number)
        try:
            since, renewals = datetime.fromisoformat(said[SINCE]).astimezone(UTC), int(said[RENEWED])
        except (KeyError, ValueError):  # written by hand: each write changes the number
            since, renewals = None, found.number
        token = said.get(TOKEN, "")
        return StoredLease(LeaseRecord(holder=said[HOLDER], token=token, since=since, renewals=renewals), found.number)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        data = {HOLDER: ""}
        if record:
            since = record.since.isoformat() if record.since else ""
            data = {HOLDER: record.holder, SINCE: since, TOKEN: record.token, RENEWED: str(record.renewals)}
        number = self._api.write(self._path, data, after.at, patiently=patient)
        return self.read(patient=patient) if number is None else StoredLease(record, number)

    def contended(self, left: str) -> StoreError:
        return contended(
            f"{self._api.mount}/{self._path} at {self._api.server.host}",
            "find out who does (the server's audit log says), then try again",
            rule=f"one rotation at a time; {left}",
            change="changed the lease",
        )
