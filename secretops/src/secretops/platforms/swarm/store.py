"""The Swarm store: each field of a version is a Swarm secret, and labels of a config record the versions.

The service's list of secrets is the delivery. No daemon returns a secret's value; only a task that mounts the secret
can read it (docs/adr/0012).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from datetime import datetime

from secretops.engine.journal import Entry, Journal
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.swarm.api import SwarmApi
from secretops.platforms.swarm.delivery import Delivery
from secretops.platforms.swarm.inventory import MOST_NUMBERS, Inventory, check_value
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.task import actor
from secretops.platforms.swarm.values import LogRecords, TaskValues, Values
from secretops.platforms.swarm.version_state import SecretState, StoredVersion, VersionState, VersionStateClient, hold
from secretops.stores import store_errors
from secretops.stores.document_versions import Change, DocumentVersionStore, Records, deliverable
from secretops.stores.lease import Timing
from secretops.stores.version_facts import StoreJournal
from secretops.values import Value


class SwarmVersionStore(DocumentVersionStore[SecretState]):
    """`VersionStore` over the secrets of one Swarm. It can read values only in a task of the Swarm."""

    def __init__(
        self,
        location: Location,
        api: SwarmApi,
        *,
        values: Values,
        records: Records,
        log_entries: bool = False,
        timing: Timing | None = None,
    ) -> None:
        super().__init__(records)
        self._values, self._timing = values, timing or Timing()
        self._client, self._inventory = VersionStateClient(api, location), Inventory(api, location)
        self._delivery = Delivery(api, location, self._inventory, values)
        self._forgot = False  # True once this process removed a secret: the config may then be empty
        self.journal: Journal = StoreJournal(
            self._store_entry, lambda secret: self._client.read().last_entry(secret), log_entries=log_entries
        )

    @classmethod
    def open(cls, location: Location, *, role: str) -> SwarmVersionStore:
        """Return the store at `location`, for a process in `role`. Connects to nothing yet."""
        values = TaskValues()
        records = LogRecords(actor(role), reads=values.readable)
        return cls(location, SwarmApi(), values=values, records=records, log_entries=values.readable)

    def secret_names(self) -> tuple[str, ...]:
        state = self._client.read()
        left = {each.secret for each in self._inventory.all() if each.config == state.id}
        return tuple(sorted({*state.kept, *left}))

    @contextlib.contextmanager
    def lease(self, holder: str) -> Iterator[None]:
        with contextlib.ExitStack() as holding:
            if held := holding.enter_context(hold(self._client, holder, self._timing)):
                holding.enter_context(self._fence.behind(held))
            yield
            if held and self._forgot and not self.secret_names():
                self._fence.check(True)
                self._client.remove_empty()

    def _store_entry(self, entry: Entry) -> None:
        with self._client.api.waiting(patient=False):
            self._client.change(lambda state: state.write_entry(entry.secret, entry))

    def _read(self, secret: str) -> SecretState:
        return self._client.read().secret(secret)

    def _change(self, secret: str, decide: Change, new: StoredVersion | None = None) -> SecretState:
        def change(found: VersionState) -> None:
            state = found.secret(secret)
            found.write(secret, state.at(decide(state.versions), new))

        return self._client.change(change).secret(secret)

    def _check_value(self, secret: str, state: SecretState, value: Value) -> None:
        check_value(secret, value)
        self._inventory.names(secret, state.next, tuple(value))

    def _store_pending(self, secret: str, version: Version, value: Value) -> SecretState:
        stored = self._make(secret, version, value)
        return self._change(secret, lambda versions: versions.with_pending(version), stored)

    def _make(self, secret: str, version: Version, value: Value) -> StoredVersion:
        """Reserve a number for `version` and create its Swarm secrets, before the config records them."""

        def reserve(found: VersionState) -> None:
            state = found.secret(secret)
            found.write(secret, SecretState(kept=state.kept, next=state.next + 1, config=state.config))

        texts = dict[str | None, str](value.items()) | {None: version.id}
        for _ in range(MOST_NUMBERS):
            state = self._client.change(reserve).secret(secret)
            stored = StoredVersion(version=version, number=state.next - 1, fields=tuple(value))
            if self._inventory.make(state.config, secret, stored, texts):
                for field, name in self._inventory.names(secret, stored.number, stored.fields).items():
                    self._values.keep(name, texts[field])
                return stored
        raise StoreError(
            f"{secret}: the names of {MOST_NUMBERS} versions in a row are taken",
            rule="names are unique; secrets of a lost config or of another stack may have them",
            remedy="list the orphaned secrets: secretops doctor; remove those that no service uses: docker secret rm",
            code="swarm-names-taken",
        )

    def _value(self, secret: str, state: SecretState, version: str) -> Value:
        stored = state.stored(secret, version)
        if stored.version.retired:
            raise store_errors.no_value(secret, version)
        names = self._inventory.names(secret, stored.number, stored.fields)
        value = {field: text for field in stored.fields if (text := self._values.text(names[field])) is not None}
        if len(value) != len(stored.fields):
            raise store_errors.no_value(secret, version)
        return Value(value)

    def _ours(self, secret: str, state: SecretState, chosen: Version | None = None) -> list[StoredVersion]:
        return [state.stored(secret, version.id) for version in deliverable(state.versions, chosen)]

    def _check_delivery(self, secret: str, state: SecretState, chosen: Version) -> None:
        self._delivery.check(secret, state.stored(secret, chosen.id), self._ours(secret, state, chosen))

    def _write_delivery(
        self, secret: str, state: SecretState, current: Version, chosen: Version | None, _now: datetime
    ) -> bool:
        def before() -> None:
            self._fence.check(True)
            self._records.write("write", secret, current.id, "deliver")

        stored, ours = state.stored(secret, current.id), self._ours(secret, state, chosen)
        is_delivered = self._delivery.deliver(secret, stored, ours, before=before)
        return is_delivered or not self._delivery.files(secret)  # else a tick delivers once there is a service

    def _drift(self, secret: str, state: SecretState, current: Version) -> str | None:
        return self._delivery.drift(secret, state.stored(secret, current.id), self._ours(secret, state))

    def _missing_fields(self, secret: str, state: SecretState, current: Version) -> Iterator[str]:
        stored = state.stored(secret, current.id)
        yield from (field for field in self._delivery.files(secret) if field not in stored.fields)

    def _sweep(self, secret: str, state: SecretState) -> None:
        if state.config:
            self._inventory.sweep(secret, state)

    def _forget(self, secret: str) -> None:
        state = self._read(secret)
        if not state.kept and not self._has_left(secret, state):
            return
        self._records.write("delete", secret, "all", "purge")

        def drop(found: VersionState) -> None:
            found.write(secret, found.secret(secret).at(Versions()))
            found.write_entry(secret, None)

        state = self._client.change(drop).secret(secret)
        self._delivery.deliver(secret, None, (), before=lambda: self._fence.check(True))
        self._sweep(secret, state)
        self._forgot = True

    def _finish_forgetting(self, secret: str, state: SecretState) -> SecretState:
        if state.kept or not self._has_left(secret, state):
            return state
        self._forget(secret)
        return self._read(secret)

    def _has_left(self, secret: str, state: SecretState) -> bool:
        """Return True if Swarm secrets of the config exist, also of versions that it no longer records."""
        return any(each.config == state.config for each in self._inventory.all(secret))
