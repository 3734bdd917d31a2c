"""A version store in a KV engine of version 2."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

from secretops.engine.journal import Entry
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.vault.api import EMPTY, VERSION, Api, fields_of, serialize
from secretops.platforms.vault.location import VaultStoreLocation as Location
from secretops.platforms.vault.version_metadata import (
    JOURNAL_KEY,
    SecretIndex,
    State,
    VersionRecord,
    journal_text,
    last_entry,
    version_records,
)
from secretops.stores import store_errors
from secretops.stores.lease import LeaseRecord, LeaseStore, StoredLease, Timing
from secretops.stores.retry import contended
from secretops.stores.vendor_versions import Edit, VendorVersionStore
from secretops.values import Value

# Keys of the lease's document.
HOLDER, SINCE, TOKEN, RENEWED = "holder", "since", "token", "renewed"


class VaultVersionStore(VendorVersionStore[State]):
    def __init__(
        self, location: Location, api: Api | None = None, *, log_entries: bool = False, timing: Timing | None = None
    ) -> None:
        super().__init__(location, api or Api.of(location), timing or Timing(), log_entries=log_entries)
        self._index = SecretIndex(self._api, location.lease)

    def add(self, secret: str, version: Version, value: Value) -> None:
        _, pending_path = self._names(secret)
        document = serialize(secret, version.id, value)
        key, text = VersionRecord(version=version, numbers=(1,)).entry()
        state = self._state(secret)
        if any(known.id == version.id for known in state.versions.all):
            return
        # A process that lost the lease may still publish a version that the broker no longer accepts. If this process
        # writes first, check-and-set rejects that.
        if state.may_still_arrive and state.is_found:
            if state.versions.current and not self._deliver(secret, state, state.versions.current, version.created):
                self._fence.check(True)  # the late write came first: the state is read again below
            self._tidy(secret, self._state(secret), None)
            state = self._state(secret)
        self._index.add(secret, self._names(secret))
        if state.pending_metadata is not EMPTY:
            self._api.remove(pending_path)
        self._api.update_metadata(pending_path, {key: text})
        if self._api.write(pending_path, document, 0) is None:
            found = self._api.read(pending_path)
            if found is None or dict(found.data) != document:  # an equal document is ours: only the response was lost
                self._fence.check(True)
                raise self._contended(secret, pending=True)

    def secret_names(self) -> tuple[str, ...]:
        return tuple(sorted({*super().secret_names(), *(self._index.paths().keys() - self._location.secrets.keys())}))

    def forget(self, secret: str) -> None:
        """Remove both paths of a secret, the pending path first: readers notice nothing if this is interrupted before
        the second."""
        if (paths := self._find_names(secret)) is None:
            return
        self.confirm()
        for path in reversed(paths):
            if self._api.metadata(path):
                self._api.remove(path)
        self._index.remove(secret)

    @property
    def _place(self) -> str:
        return f"{self._location.mount} at {self._api.server.host}"

    def _lease_store(self) -> LeaseDocument:
        return LeaseDocument(self._api.without_guard(), self._location.lease)

    def _last_entry(self, secret: str) -> Entry | None:
        found = (last_entry(secret, self._api.metadata(path) or EMPTY) for path in self._find_names(secret) or ())
        return max((entry for entry in found if entry), key=lambda entry: entry.time, default=None)

    def _store_entry(self, entry: Entry) -> None:
        for path in self._find_names(entry.secret) or ():
            if self._api.update_metadata(path, {JOURNAL_KEY: journal_text(entry)}, create=False, patient=False):
                return

    def _find_names(self, secret: str) -> tuple[str, str] | None:
        return super()._find_names(secret) or self._index.paths().get(secret)

    def _state(self, secret: str) -> State:
        paths = self._find_names(secret)
        return State.of(self._api, *paths) if paths else State(EMPTY, EMPTY, {})

    def _is_kept(self, secret: str) -> bool:
        return any(version_records(self._api.metadata(path) or EMPTY) for path in self._names(secret))

    def _deliver(self, secret: str, state: State, version: Version, now: datetime) -> bool:
        path, _ = self._names(secret)
        value, current = self._value(secret, state, version.id), state.versions.current
        again = current is not None and current.id == version.id
        record = state.published.get(version.id, VersionRecord(version=version))
        is_copy = state.foreign and fields_of(state.foreign.data) == dict(value)
        copies = (state.foreign.number,) if state.foreign and is_copy else ()
        published = version.at(published=(version.published if again else None) or now)
        plan = dataclasses.replace(record, version=published, planned=state.main.current + 1, copies=copies)
        self._api.update_metadata(path, dict([plan.entry()]))
        document = serialize(secret, version.id, value)
        return self._api.write(path, document, state.main.current, fresh=True) is not None

    def _mark(self, secret: str, state: State, version: str, **times: datetime | None) -> None:
        path, pending_path = self._names(secret)
        pending = state.pending if state.pending and state.pending.version.id == version else None
        where, record = (pending_path, pending) if pending else (path, state.published[version])
        changed = Versions((record.version,)).changed(version, **times).all[0]
        entry = dataclasses.replace(record, version=changed).entry()
        if not self._api.update_metadata(where, dict([entry]), create=False):
            self._fence.check(True)
            raise store_errors.no_value(secret, version)
        if times["retired"]:
            self._tidy(secret, self._state(secret), None)

    def _discard(self, secret: str, state: State, pending: Version) -> None:  # noqa: ARG002
        self._api.remove(self._names(secret)[1])

    def _is_delivered(self, secret: str, state: State) -> bool:  # noqa: ARG002
        return state.is_found

    def _tidy(self, secret: str, state: State, now: datetime | None) -> None:
        path, pending_path = self._names(secret)
        current = state.versions.current
        if now and current and current.published is None:
            record = state.published[current.id]
            dated = dataclasses.replace(record, version=record.version.at(published=now))
            state = dataclasses.replace(state, published={**state.published, current.id: dated})
        if numbers := state.surplus():
            self._api.destroy(path, numbers)
        if changes := state.changes():
            self._api.update_metadata(path, changes, create=False)
        # The pending version was published, or written late after a lost lease.
        if state.pending is None and state.pending_metadata is not EMPTY:
            self._api.remove(pending_path)

    def _value(self, secret: str, state: State, version: str, *, but: str = "") -> Value:  # noqa: ARG002
        path, pending_path = self._names(secret)
        record = state.published.get(version)
        where, number = (
            (path, record.newest) if record and record.numbers else (pending_path, state.pending_metadata.current)
        )
        found = self._api.read(where, number)
        if found is None:
            raise store_errors.no_value(secret, version)
        fields = fields_of(found.data)
        if fields is None or found.data.get(VERSION) != version:
            raise store_errors.InvalidValueError(
                f"{secret}: KV version {number} of {self._location.mount}/{where} is not a valid value of version "
                f"{version}",
                rule="only secretops may write to this path",
                remedy=f"for a new version: secretops rotate {secret} --now, or secretops put {secret}",
                code="value-invalid",
            )
        return Value(fields)

    def _removal_error(self, secret: str, state: State) -> StoreError | None:
        if not state.is_removed:
            return None
        path, number, mount = self._names(secret)[0], state.main.current, self._location.mount
        done, undelete = "destroyed", ""
        if not state.main.documents[number].destroyed:
            done, undelete = (
                "deleted",
                f"; to restore this version: bao kv undelete -mount={mount} -versions={number} {path}",
            )
        return store_errors.RemovedError(
            f"{mount}/{path}: the current version {number} was {done}, so readers get nothing",
            rule="a current version must exist; secretops does not restore what somebody removed",
            remedy=f"for a new version: secretops rotate {secret}, or secretops put {secret}{undelete}",
            code="current-version-removed",
        )

    def _edit(self, secret: str, state: State) -> Edit | None:
        if state.foreign is None or not state.foreign.data:
            return None
        path, number, mount = self._names(secret)[0], state.foreign.number, self._location.mount
        return Edit(
            str(number),
            fields_of(state.foreign.data),
            f"{mount}/{path} was changed by hand: secretops did not write version {number}",
            f"bao kv delete -mount={mount} -versions={number} {path}",
        )

    def _contended(self, secret: str, *, pending: bool = False) -> StoreError:
        return contended(
            f"{self._location.mount}/{self._names(secret)[pending]} at {self._api.server.host}",
            "find the other process in Vault's audit log and stop it; the next tick finishes a started rotation",
            rule="a write must not overwrite a change that secretops has not read (check-and-set); nothing was "
            "overwritten",
            change="wrote to this path",
        )


class LeaseDocument(LeaseStore):
    """The lease in a document. `StoredLease.at` is the document's number."""

    def __init__(self, api: Api, path: str) -> None:
        self._api, self._path = api, path

    def read(self, *, patient: bool = True) -> StoredLease:
        found = self._api.read(self._path, patient=patient)
        if found is None:  # the document was deleted by hand, or never written (number 0)
            known = self._api.metadata(self._path) or EMPTY
            newest = known.documents.get(known.current)
            if newest and newest.is_readable:  # written since the first read; or our clock is behind the server's
                found = self._api.read(self._path, patient=patient)
        if found is None:
            return StoredLease(None, known.current)
        texts = {key: text for key in (HOLDER, SINCE, TOKEN, RENEWED) if isinstance(text := found.data.get(key), str)}
        if not texts.get(HOLDER):
            return StoredLease(None, found.number)
        try:
            since, renewals = datetime.fromisoformat(texts[SINCE]).astimezone(UTC), int(texts[RENEWED])
        except (KeyError, ValueError):  # edited by hand; the document's number also changes with each write
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

    def contended(self, consequence: str) -> StoreError:
        return contended(
            f"{self._api.mount}/{self._path} at {self._api.server.host}",
            "find the other process in Vault's audit log and stop it, then try again",
            rule=f"only one rotation may run at a time; {consequence}",
            change="changed the lease",
        )
