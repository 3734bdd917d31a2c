"""The state of a stack's versions, in the labels of one config. It contains no value.

The content of a config can't change, but its labels can. A write names the index of the config that was read, and fails
if the config has changed since. The labels include the lease, so a process that lost it can't write.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from secretops.engine.journal import Entry
from secretops.engine.state import Version, Versions
from secretops.errors import StoreError
from secretops.platforms.swarm.api import PAUSES, SwarmApi, encoded
from secretops.platforms.swarm.location import SWARM_INSTANCE
from secretops.platforms.swarm.location import SwarmStoreLocation as Location
from secretops.stores import lease, store_errors
from secretops.stores.document_versions import StateLabels
from secretops.stores.lease import HeldLease, LeaseRecord, LeaseStore, StoredLease, Timing
from secretops.stores.retry import Retries, contended

CONTENT = b"The state of the stack's secrets is in the labels of this config. secretops writes them.\n"
_WRITER = "find out who writes the config: docker events --filter type=config"


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    version: Version
    number: int
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SecretState:
    kept: tuple[StoredVersion, ...] = ()
    # Number of the next version. It is used once: a lower number that is not stored belongs to a removed version.
    next: int = 1
    # Id of the config that was read; empty if there is none.
    config: Annotated[str, Field(exclude=True)] = ""

    @property
    def versions(self) -> Versions:
        return Versions(tuple(each.version for each in self.kept))

    @property
    def living(self) -> tuple[int, ...]:
        return tuple(each.number for each in self.kept if not each.version.retired)

    def stored(self, secret: str, version: str) -> StoredVersion:
        for each in self.kept:
            if each.version.id == version:
                return each
        raise store_errors.no_value(secret, version)

    def at(self, versions: Versions, new: StoredVersion | None = None) -> SecretState:
        known = {each.version.id: each for each in (*self.kept, *((new,) if new else ()))}
        return replace(self, kept=tuple(replace(known[version.id], version=version) for version in versions.all))


_STATE, _LEASE, _ENTRY = TypeAdapter(SecretState), TypeAdapter(LeaseRecord), TypeAdapter(Entry)


class VersionState:
    def __init__(self, name: str, labels: dict[str, str], *, id: str = "") -> None:
        self.id, self.labels = id, labels
        remedy = f"docker config inspect {name} shows the labels; the values in the Docker secrets are intact"
        self._labels = StateLabels(f"config {name}: label", "coreflux-mcp-secrets.", labels, remedy=remedy)

    def secret(self, secret: str) -> SecretState:
        return replace(self._labels.read(f"versions.{secret}", _STATE) or SecretState(), config=self.id)

    def write(self, secret: str, state: SecretState) -> None:
        if state != self.secret(secret):
            self._labels.write(f"versions.{secret}", _STATE, state)

    @property
    def secrets(self) -> tuple[str, ...]:
        return self._labels.secrets("versions")

    @property
    def kept(self) -> tuple[str, ...]:
        return tuple(secret for secret in self.secrets if self.secret(secret).kept)

    @property
    def lease(self) -> LeaseRecord | None:
        return self._labels.read("lease", _LEASE)

    def write_lease(self, record: LeaseRecord | None) -> None:
        self._labels.write("lease", _LEASE, record)

    def last_entry(self, secret: str) -> Entry | None:
        return self._labels.read(f"journal.{secret}", _ENTRY)

    def write_entry(self, secret: str, entry: Entry | None) -> None:
        self._labels.write(f"journal.{secret}", _ENTRY, entry)


class VersionStateClient:
    """Reads and writes the config that contains the VersionState. If `token` is set, raises LeaseLostError unless the
    lease has that token."""

    def __init__(self, api: SwarmApi, location: Location) -> None:
        self.api, self.location = api, location
        self.token = ""  # nosec B105 - no lease

    def read(self) -> VersionState:
        """Return the VersionState. Its id is empty if the config is missing. Raises StoreError, UnreachableError."""
        return self._of_holder(self.get())

    def change(self, decide: Callable[[VersionState], None]) -> VersionState:
        """Apply `decide` in one write, which creates a missing config. Return the new state.

        On a conflict, applies `decide` again. Raises the errors of `read` and `decide`.
        """
        retries = Retries(PAUSES)
        while True:
            found = self.get()
            state = self._of_holder(found)
            before = dict(state.labels)
            decide(state)
            if state.labels == before:
                return state
            if self.write(found, state):
                return state if found else self.read()
            if not retries.pause():
                raise contended(
                    f"config {self.location.state_config}", f"{_WRITER}; then: secretops tick", pauses=PAUSES
                )

    def write(self, found: dict[str, Any] | None, state: VersionState) -> bool:
        if found:
            return self.api.update("configs", found, {**found["Spec"], "Labels": state.labels})
        if self.is_nowhere:
            raise StoreError(
                f"this Swarm has no service {self.location.service} and no config {self.location.state_config}",
                rule="one of the two must exist, as proof that this is the stack's own Swarm",
                remedy="pulumi up; if it has run, set DOCKER_HOST or Docker's context to the stack's Swarm",
                code="swarm-service-missing",
            )
        labels = {SWARM_INSTANCE: self.location.instance, **state.labels}
        spec = {"Name": self.location.state_config, "Labels": labels, "Data": encoded(CONTENT)}
        return self.api.create("configs", spec) is not None

    def opened(self, found: dict[str, Any] | None) -> VersionState:
        """Return a config's state. Raises StoreError for another stack's config."""
        name = self.location.state_config
        if found is None:
            return VersionState(name, {})
        labels = dict(found["Spec"].get("Labels") or {})
        theirs, ours = labels.get(SWARM_INSTANCE) or "no stack", self.location.instance
        if theirs != ours:
            raise StoreError(
                f"config {name} belongs to {theirs}, not to this stack ({ours})",
                rule=f"the config's label {SWARM_INSTANCE} must name this stack; nothing was written",
                remedy="connect to the Swarm of this stack: set DOCKER_HOST, or docker context use CONTEXT",
                code="config-of-another-stack",
            )
        return VersionState(name, labels, id=str(found["ID"]))

    @property
    def is_nowhere(self) -> bool:
        return self.get() is None and self.api.get(f"/services/{self.location.service}") is None

    def remove_empty(self) -> None:
        """Remove the config if it records no version. Requires the lease, since a removal is no compare-and-swap."""
        state = self.read()
        if state.id and not state.kept and self.token:
            with self.api.waiting(patient=False):
                self.api.remove("configs", state.id)

    def get(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.api.get(f"/configs/{self.location.state_config}")
        return found

    def _of_holder(self, found: dict[str, Any] | None) -> VersionState:
        state = self.opened(found)
        if self.token:
            record = state.lease
            if record is None or record.token != self.token:
                raise lease.LeaseLostError(record.holder if record else "nobody")
        return state


class LeaseLabel(LeaseStore):
    """The lease, in a label of the config. `StoredLease.at` is the config as read; None after a write."""

    keeps_duration = True

    def __init__(self, client: VersionStateClient) -> None:
        self._client = client

    def read(self, *, patient: bool = True) -> StoredLease:
        with self._client.api.waiting(patient):
            found = self._client.get()
            return StoredLease(self._client.opened(found).lease, found)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        with self._client.api.waiting(patient):
            now = after if after.at is not None else self.read()  # after our own write, the index is unknown
            if now.record != after.record:
                return now
            state = self._client.opened(now.at)
            state.write_lease(record)
            return StoredLease(record) if self._client.write(now.at, state) else self.read()

    def contended(self, consequence: str) -> StoreError:
        rule = f"only one rotation may run at a time; {consequence}"
        return contended(f"config {self._client.location.state_config}", _WRITER, rule=rule)


@contextlib.contextmanager
def hold(client: VersionStateClient, holder: str, timing: Timing) -> Iterator[HeldLease | None]:
    """Hold the lease during the block, and renew it over a separate connection.

    Yields None, without a lease, if the Swarm has neither the config nor the service. Raises the errors of
    `stores.lease.hold`.
    """
    own = VersionStateClient(client.api.clone(), client.location)
    if own.is_nowhere:
        yield None
        return
    with lease.hold(LeaseLabel(own), holder, timing) as held:
        client.token = held.record.token
        try:
            yield held
        finally:
            client.token = ""  # nosec B105 - no lease
