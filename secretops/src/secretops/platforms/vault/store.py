"""`VersionStore` over a KV engine of version 2. Readers get the newest document of a path, written by check-and-set."""

from __future__ import annotations

import dataclasses
from datetime import datetime

from secretops.engine.journal import Entry
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.vault import documents
from secretops.platforms.vault.api import NONE, Api
from secretops.platforms.vault.lease import LeaseDocument
from secretops.platforms.vault.location import VaultStoreLocation as Location
from secretops.platforms.vault.version_metadata import LAST, Noted, SecretIndex, State, entry_note, last_entry, noted
from secretops.stores import store_errors
from secretops.stores.lease import Timing
from secretops.stores.retry import contended
from secretops.stores.vendor_versions import Edit, VendorVersionStore
from secretops.values import Value


class VaultVersionStore(VendorVersionStore[State]):
    """Keeps versions as documents."""

    def __init__(
        self, location: Location, api: Api | None = None, *, log_entries: bool = False, timing: Timing | None = None
    ) -> None:
        super().__init__(location, api or Api.of(location), timing or Timing(), log_entries=log_entries)
        self._index = SecretIndex(self._api, location.lease)

    def add(self, secret: str, version: Version, value: Value) -> None:
        _, apart = self._names(secret)
        written = documents.written(secret, version.id, value)
        key, note = Noted(version=version, numbers=(1,)).note()
        state = self._state(secret)
        if any(kept.id == version.id for kept in state.versions.all):
            return
        if state.may_yet_come and state.is_found:  # else it could be published while the broker takes it no more
            if state.versions.current and not self._deliver(secret, state, state.versions.current, version.created):
                self._fence.check(True)  # else it has come, and the engine looks what is current before it goes on
            self._tidy(secret, self._state(secret), None)
            state = self._state(secret)
        self._index.add(secret, self._names(secret))
        if state.apart is not NONE:
            self._api.drop(apart)
        self._api.note(apart, {key: note})
        if self._api.write(apart, written, 0) is None:
            found = self._api.read(apart)
            if found is None or dict(found.data) != written:  # else it is ours, and its answer was lost
                self._fence.check(True)
                raise self._contended(secret, pending=True)

    def secret_names(self) -> tuple[str, ...]:
        """Of a secret that left the stack by what is noted: whoever asks may not be allowed to look any more."""
        return tuple(sorted({*super().secret_names(), *(self._index.paths().keys() - self._location.secrets.keys())}))

    def forget(self, secret: str) -> None:
        """What is pending goes first: of a purge that was cut short between the two all else is as it was."""
        if (paths := self._find_names(secret)) is None:
            return
        self.confirm()
        for path in reversed(paths):
            if self._api.metadata(path):
                self._api.drop(path)
        self._index.remove(secret)

    @property
    def _place(self) -> str:
        return f"{self._location.mount} at {self._api.server.host}"

    def _lease_store(self) -> LeaseDocument:
        return LeaseDocument(self._api.beside(), self._location.lease)

    def _last_entry(self, secret: str) -> Entry | None:
        found = (last_entry(secret, self._api.metadata(path) or NONE) for path in self._find_names(secret) or ())
        return max((one for one in found if one), key=lambda one: one.time, default=None)

    def _keep_entry(self, entry: Entry) -> None:
        """At the path of the readers, or before there is anything at that of what is pending."""
        note = {LAST: entry_note(entry)}
        for path in self._find_names(entry.secret) or ():
            if self._api.note(path, note, make=False, patiently=False):
                return

    def _find_names(self, secret: str) -> tuple[str, str] | None:
        """Of a secret that left the stack as the index has them."""
        return super()._find_names(secret) or self._index.paths().get(secret)

    def _state(self, secret: str) -> State:
        paths = self._find_names(secret)
        return State.of(self._api, *paths) if paths else State(NONE, NONE, {})

    def _is_kept(self, secret: str) -> bool:
        return any(noted(self._api.metadata(path) or NONE) for path in self._names(secret))

    def _deliver(self, secret: str, state: State, version: Version, now: datetime) -> bool:
        """The one write that publishes. False when somebody else wrote meanwhile, or our answer was lost."""
        path, _ = self._names(secret)
        value, current = self._value(secret, state, version.id), state.versions.current
        again = current is not None and current.id == version.id
        one = state.published.get(version.id, Noted(version=version))
        copies = (
            (state.theirs.number,) if state.theirs and documents.fields_of(state.theirs.data) == dict(value) else ()
        )
        published = version.at(published=(version.published if again else None) or now)
        plan = dataclasses.replace(one, version=published, planned=state.main.current + 1, copies=copies)
        self._api.note(path, dict([plan.note()]))
        written = documents.written(secret, version.id, value)
        return self._api.write(path, written, state.main.current, fresh=True) is not None

    def _mark(self, secret: str, state: State, version: str, **times: datetime | None) -> None:
        path, apart = self._names(secret)
        pending = state.pending if state.pending and state.pending.version.id == version else None
        where, one = (apart, pending) if pending else (path, state.published[version])
        changed = Versions((one.version,)).changed(version, **times).all[0]
        if not self._api.note(where, dict([dataclasses.replace(one, version=changed).note()]), make=False):
            self._fence.check(True)
            raise store_errors.no_value(secret, version)
        if times["retired"]:
            self._tidy(secret, self._state(secret), None)

    def _discard(self, secret: str, state: State, pending: Version) -> None:  # noqa: ARG002
        self._api.drop(self._names(secret)[1])

    def _is_found(self, secret: str, state: State) -> bool:  # noqa: ARG002
        return state.is_found

    def _tidy(self, secret: str, state: State, now: datetime | None) -> None:
        path, apart = self._names(secret)
        current = state.versions.current
        if now and current and current.published is None:
            one = state.published[current.id]
            dated = dataclasses.replace(one, version=one.version.at(published=now))
            state = dataclasses.replace(state, published={**state.published, current.id: dated})
        if numbers := state.surplus():
            self._api.destroy(path, numbers)
        if changes := state.changes():
            self._api.note(path, changes, make=False)
        if state.pending is None and state.apart is not NONE:  # it was published; or came late, of who was followed
            self._api.drop(apart)

    def _value(self, secret: str, state: State, version: str, *, but: str = "") -> Value:  # noqa: ARG002
        path, apart = self._names(secret)
        one = state.published.get(version)
        where, number = (path, one.newest) if one and one.numbers else (apart, state.apart.current)
        found = self._api.read(where, number)
        if found is None:
            raise store_errors.no_value(secret, version)
        fields = documents.fields_of(found.data)
        if fields is None or found.data.get(documents.VERSION) != version:
            raise StoreError(
                f"{secret}: version {number} of {self._location.mount}/{where} does not read as version {version}",
                rule="a document of fields and their texts, written by secretops alone",
                remedy=f"supply a new one: secretops put {secret}",
            )
        return Value(fields)

    def _taken_away(self, secret: str, state: State) -> StoreError | None:
        if not state.taken_away:
            return None
        path, number = self._names(secret)[0], state.main.current
        there = f"{self._location.mount}/{path}"
        done, back = "destroyed", ""
        if not state.main.versions[number].destroyed:
            done, mount = "deleted", self._location.mount
            back = f"; to give it back: bao kv undelete -mount={mount} -versions={number} {path}"
        return StoreError(
            f"{there}: version {number}, the current one, was {done}, and readers find nothing",
            rule="whoever did it took it from its readers; secretops gives it back only when told to",
            remedy=f"secretops rotate {secret}, or put, makes another{back}",
        )

    def _edit(self, secret: str, state: State) -> Edit | None:
        if state.theirs is None or not state.theirs.data:
            return None
        path, number = self._names(secret)[0], state.theirs.number
        return Edit(
            str(number),
            documents.fields_of(state.theirs.data),
            f"{self._location.mount}/{path} was changed by hand: version {number} is none of secretops'",
            f"it from its readers (bao kv delete -mount={self._location.mount} -versions={number} {path})",
        )

    def _contended(self, secret: str, *, pending: bool = False) -> StoreError:
        return contended(
            f"{self._location.mount}/{self._names(secret)[pending]} at {self._api.server.host}",
            "find out who does (the server's audit log says), then try again; the next tick goes on from here",
            rule="check-and-set: a document is only written after the one that was seen; nothing was overwritten",
            change="wrote to it",
        )
