"""The Swarm store: each field of a version is a Swarm secret, and labels of a config record the versions.

A delivery updates the list of secrets that the server's service mounts. All files of a version change at once, so no
reader gets a mix of two versions. Docker returns no value of a secret: only a task that mounts it can read it
(docs/adr/0012).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from datetime import datetime

from secretops.engine.journal import Entry, Journal
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.formats import counted
from secretops.platforms.swarm.api import PAUSES, SwarmApi
from secretops.platforms.swarm.inventory import MOST_NUMBERS, Inventory, check_value
from secretops.platforms.swarm.location import SwarmFile, version_file
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.platforms.swarm.rollout import (
    STARTS,
    NeverRanError,
    Rollout,
    Service,
    ServiceSecret,
    file_of,
    secrets_of,
    state_of,
)
from secretops.platforms.swarm.task import actor
from secretops.platforms.swarm.values import LogRecords, TaskValues, Values
from secretops.platforms.swarm.version_state import SecretState, StoredVersion, VersionState, VersionStateClient, hold
from secretops.stores import store_errors
from secretops.stores.document_versions import Change, DocumentVersionStore, Records, deliverable
from secretops.stores.lease import Timing
from secretops.stores.retry import Retries, contended
from secretops.stores.version_facts import StoreJournal
from secretops.values import Value


class SwarmVersionStore(DocumentVersionStore[SecretState]):
    """The version store of a Swarm. Only a task can read its values."""

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
        self._location, self._api, self._values, self._timing = location, api, values, timing or Timing()
        self._client, self._inventory = VersionStateClient(api, location), Inventory(api, location)
        self._rollout = Rollout(api, location)
        self._forgot = False  # True once this process removed a secret, perhaps the last one
        self.journal: Journal = StoreJournal(
            self._store_entry, lambda secret: self._client.read().last_entry(secret), log_entries=log_entries
        )

    @classmethod
    def open(cls, location: Location, *, role: str) -> SwarmVersionStore:
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
        with self._api.waiting(patient=False):
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

        def reserve(found: VersionState) -> None:
            state = found.secret(secret)
            found.write(secret, SecretState(kept=state.kept, next=state.next + 1, config=state.config))

        texts = dict[str | None, str](value.items()) | {None: version.id}
        for _ in range(MOST_NUMBERS):
            state = self._client.change(reserve).secret(secret)
            stored = StoredVersion(version=version, number=state.next - 1, fields=tuple(value))
            if self._inventory.make(state.config, secret, stored, texts):
                break
        else:
            raise StoreError(
                f"{secret}: the names of {MOST_NUMBERS} versions in a row are taken",
                rule="a new Docker secret must have an unused name; another stack may have used these names, or the "
                "Docker config with this stack's versions was lost",
                remedy="secretops doctor lists orphaned Docker secrets; remove the secrets that no service uses: "
                "docker secret rm NAME",
                code="swarm-names-taken",
            )
        for field, name in self._inventory.names(secret, stored.number, stored.fields).items():
            self._values.keep(name, texts[field])
        return self._change(secret, lambda versions: versions.with_pending(version), stored)

    def _value(self, secret: str, state: SecretState, version: str) -> Value:
        stored = state.stored(secret, version)
        names = self._inventory.names(secret, stored.number, stored.fields)
        texts = {} if stored.version.retired else {each: self._values.text(names[each]) for each in stored.fields}
        value = {field: text for field, text in texts.items() if text is not None}
        if len(value) != len(stored.fields):
            raise store_errors.no_value(secret, version)
        return Value(value)

    def _ours(self, secret: str, state: SecretState, chosen: Version | None = None) -> list[StoredVersion]:
        return [state.stored(secret, version.id) for version in deliverable(state.versions, chosen)]

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
        self._update_service(secret, None, [], before=lambda: self._fence.check(True))
        self._sweep(secret, state)
        self._forgot = True

    def _finish_forgetting(self, secret: str, state: SecretState) -> SecretState:
        if state.kept or not self._has_left(secret, state):
            return state
        self._forget(secret)
        return self._read(secret)

    def _has_left(self, secret: str, state: SecretState) -> bool:
        return any(each.config == state.config for each in self._inventory.all(secret))

    # The delivery.

    def _files(self, secret: str) -> dict[str, SwarmFile]:
        return self._location.delivered.get(secret, {})

    def _missing_fields(self, secret: str, state: SecretState, current: Version) -> Iterator[str]:
        stored = state.stored(secret, current.id)
        yield from (field for field in self._files(secret) if field not in stored.fields)

    def _check_delivery(self, secret: str, state: SecretState, chosen: Version) -> None:
        wanted = self._wanted(secret, state.stored(secret, chosen.id))
        if service := self._rollout.service():
            self._refuse_edited(secret, service, wanted, self._ours(secret, state, chosen))

    def _drift(self, secret: str, state: SecretState, current: Version) -> str | None:
        if not self._files(secret):
            return None
        name, service = self._location.service, self._rollout.service()
        if service is None:
            return f"there is no service {name}: pulumi up"
        wanted = self._wanted(secret, state.stored(secret, current.id))
        if edited := self._edited(secret, service, wanted, self._ours(secret, state)):
            return edited.note
        if _differ(secrets_of(service), self._with(secret, service, wanted)):
            return store_errors.NOT_DELIVERED
        outdated = self._rollout.outdated_tasks(service)
        tasks = counted(outdated, "task still has", "tasks still have")
        return f"service {name}: {tasks} another list of secrets; to try again: secretops tick" if outdated else None

    def _write_delivery(
        self, secret: str, state: SecretState, current: Version, chosen: Version | None, _now: datetime
    ) -> bool:
        def before() -> None:
            self._fence.check(True)
            self._records.write("write", secret, current.id, "deliver")

        stored, ours = state.stored(secret, current.id), self._ours(secret, state, chosen)
        is_delivered = self._update_service(secret, stored, ours, before=before)
        return is_delivered or not self._files(secret)  # without a service, a tick delivers later

    def _update_service(
        self, secret: str, current: StoredVersion | None, ours: list[StoredVersion], *, before: Callable[[], None]
    ) -> bool:
        """Mount `current` in the server's service, or unmount `secret` if `current` is None, then wait for the tasks.

        Return False if there is no service. `before` runs right before each write. Raises UpdateFailedError,
        UnreachableError, and StoreError if somebody changed the mounts.
        """
        for _ in range(STARTS - 1):
            with contextlib.suppress(NeverRanError):
                return self._update_once(secret, current, ours, before)
        return self._update_once(secret, current, ours, before)

    def _update_once(
        self, secret: str, current: StoredVersion | None, ours: list[StoredVersion], before: Callable[[], None]
    ) -> bool:
        wanted = self._wanted(secret, current) if current else []
        is_new = current is not None and current.version.published is None and bool(wanted)
        idle: object = None
        failed: set[str] | None = None
        retries = Retries(PAUSES)  # after conflicts
        while service := self._rollout.service():
            self._refuse_edited(secret, service, wanted, ours)
            listed = self._with(secret, service, wanted)
            state = state_of(service)
            if not _differ(secrets_of(service), listed):
                if state != "paused" and not self._rollout.outdated_tasks(service):
                    if is_new:
                        break
                    return True
                if state == "updating":
                    break
            if service["Version"] != idle:
                after = self._rollout.wait_until_idle()
                idle = after and after["Version"]
                if service["Version"] != idle:
                    continue  # the service has changed since
            before()
            spec, failed_before = service["Spec"], self._rollout.failed(service)
            spec["TaskTemplate"]["ContainerSpec"]["Secrets"] = listed
            if self._api.update("services", service, spec):
                failed = failed_before
                break
            if not retries.pause():
                remedy = "wait for the other deployment to end; the next tick delivers the new version"
                raise contended(f"service {self._location.service}", remedy, pauses=PAUSES)
        else:
            return False
        self._rollout.wait(wanted, is_new=is_new, failed=failed)
        return True

    def _wanted(self, secret: str, stored: StoredVersion) -> list[ServiceSecret]:
        files = self._files(secret)
        if not files:
            return []
        names = self._inventory.names(secret, stored.number, stored.fields)
        existing = {each.name: each.id for each in self._inventory.all(secret)}
        mounted = {names[field]: file for field, file in files.items() if field in stored.fields}
        mounted[names[None]] = SwarmFile(name=version_file(secret))
        if mounted.keys() - existing.keys():
            raise store_errors.no_value(secret, stored.version.id)
        owner = str(self._location.uid)
        return [
            {
                "SecretID": existing[name],
                "SecretName": name,
                "File": {"Name": file.name, "UID": owner, "GID": owner, "Mode": file.mode},
            }
            for name, file in mounted.items()
        ]

    def _with(self, secret: str, service: Service, wanted: list[ServiceSecret]) -> list[ServiceSecret]:
        ours = {each.id for each in self._inventory.all(secret)}
        names = {file_of(entry) for entry in wanted}
        others = [each for each in secrets_of(service) if each["SecretID"] not in ours and file_of(each) not in names]
        return [*others, *wanted]

    def _refuse_edited(
        self, secret: str, service: Service, wanted: list[ServiceSecret], ours: list[StoredVersion]
    ) -> None:
        if edited := self._edited(secret, service, wanted, ours):
            raise edited

    def _edited(
        self, secret: str, service: Service, wanted: list[ServiceSecret], ours: list[StoredVersion]
    ) -> StoreError | None:
        """Return an error if the service's file of `secret` has a text that is not from secretops."""
        known = {each.id for each in self._inventory.all(secret)}
        fields = {file.name: field for field, file in self._files(secret).items()}
        names = {file_of(entry) for entry in wanted}
        for entry in secrets_of(service):
            if file_of(entry) in names and entry["SecretID"] not in known:
                field = fields.get(file_of(entry))
                if not any(self._same(secret, entry, field, stored) for stored in ours):
                    name, file = entry["SecretName"], file_of(entry)
                    return store_errors.edited(
                        secret,
                        f"service {self._location.service}: file {file} was changed by hand to Docker secret {name}",
                        f"docker service update --secret-rm {name} {self._location.service}",
                    )
        return None

    def _same(self, secret: str, entry: ServiceSecret, field: str | None, stored: StoredVersion) -> bool:
        name = self._inventory.names(secret, stored.number, stored.fields).get(field)
        try:
            text = self._values.text(entry["SecretName"])
            return name is not None and text is not None and text == self._values.text(name)
        except StoreError:  # this process can't read it
            return False


def _differ(one: list[ServiceSecret], other: list[ServiceSecret]) -> bool:
    """Return whether two lists differ in more than their order. A different order is no reason for an update, which
    restarts every task."""
    return sorted(map(repr, map(_facts, one))) != sorted(map(repr, map(_facts, other)))


def _facts(entry: ServiceSecret) -> tuple[str, ...]:
    file = entry.get("File") or {}
    return entry["SecretID"], *(str(file.get(fact)) for fact in ("Name", "UID", "GID", "Mode"))
