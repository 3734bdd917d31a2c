"""The state of a stack's versions: labels of one config, changed by compare-and-swap. Public; never a value.

A config's content can't change; its labels can, in one write that names the index it was decided on. The lease is one
of the labels, so that a process whose lease was taken over can write none of them.
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


@dataclass(frozen=True, kw_only=True)
class StoredVersion:
    """One version: its facts, and the number and fields that name its Swarm secrets."""

    version: Version
    number: int
    fields: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class SecretState:
    """State of one secret, as it was read."""

    kept: tuple[StoredVersion, ...] = ()
    next: int = 1
    """Number of the next version. None is used twice: a version with a lower one that is not kept is over."""
    config: Annotated[str, Field(exclude=True)] = ""
    """Id of the config that the state was read from; empty if there is none."""

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
        """Return the state with these versions; `new` is the one that was not kept before."""
        known = {each.version.id: each for each in (*self.kept, *((new,) if new else ()))}
        return replace(self, kept=tuple(replace(known[version.id], version=version) for version in versions.all))


_STATE, _LEASE, _ENTRY = TypeAdapter(SecretState), TypeAdapter(LeaseRecord), TypeAdapter(Entry)


class VersionState:
    """The config's labels as they were read. Changes are to what was read; `VersionStateClient.change` writes them."""

    def __init__(self, name: str, labels: dict[str, str], *, id: str = "") -> None:
        self.id, self.labels = id, labels
        remedy = "docker config inspect shows it; the values are whole: they are the Swarm's secrets"
        self._labels = StateLabels(f"config {name}: label", "coreflux-mcp-secrets.", labels, remedy=remedy)

    def secret(self, secret: str) -> SecretState:
        return replace(self._labels.read(f"versions.{secret}", _STATE) or SecretState(), config=self.id)

    def write(self, secret: str, state: SecretState) -> None:
        if state != self.secret(secret):
            self._labels.write(f"versions.{secret}", _STATE, state)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that have a state, also one without versions."""
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
        """Return the newest entry of the journal about `secret`. Raises StoreError."""
        return self._labels.read(f"journal.{secret}", _ENTRY)

    def write_entry(self, secret: str, entry: Entry | None) -> None:
        self._labels.write(f"journal.{secret}", _ENTRY, entry)


class VersionStateClient:
    """Reads and writes the config. With the `token` of a lease, only while that lease is the config's."""

    def __init__(self, api: SwarmApi, location: Location) -> None:
        self.api, self.location = api, location
        self.token = ""  # nosec B105 - of a lease that nobody holds

    def read(self) -> VersionState:
        """Return the state; an empty one, without an id, if there is no config.

        Raises StoreError, also if the lease is lost, UnreachableError.
        """
        return self._of_holder(self.get())

    def change(self, decide: Callable[[VersionState], None]) -> VersionState:
        """Write what `decide` changes, in one write; in none if it changes nothing. Returns it.

        `decide` is called again with the new state if somebody else has written since. A missing config is created
        once there is something to write. Raises as `read` does, and what `decide` raises.
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
                remedy = "find out who writes it: docker events --filter type=config; the next tick goes on from here"
                raise contended(f"config {self.location.state_config}", remedy, pauses=PAUSES)

    def write(self, found: dict[str, Any] | None, state: VersionState) -> bool:
        """Write `state` over the config that was `found`; False if somebody else has written since."""
        if found:
            return self.api.update("configs", found, {**found["Spec"], "Labels": state.labels})
        if self.is_nowhere:
            raise StoreError(
                f"there is no service {self.location.service} and no config {self.location.state_config} in this Swarm",
                rule="values are first written where the stack's service is",
                remedy="pulumi up makes it; if it has run: does DOCKER_HOST, or Docker's context, lead to its Swarm?",
            )
        labels = {SWARM_INSTANCE: self.location.instance, **state.labels}
        spec = {"Name": self.location.state_config, "Labels": labels, "Data": encoded(CONTENT)}
        return self.api.create("configs", spec) is not None

    def opened(self, found: dict[str, Any] | None) -> VersionState:
        """Return the state in the config that was `found`. Raises StoreError if it is another stack's."""
        name = self.location.state_config
        if found is None:
            return VersionState(name, {})
        labels = dict(found["Spec"].get("Labels") or {})
        theirs, ours = labels.get(SWARM_INSTANCE) or "no stack", self.location.instance
        if theirs != ours:
            raise StoreError(
                f"config {name} is of {theirs}, and we are of {ours}",
                rule=f"its label {SWARM_INSTANCE} names its stack, and nobody writes the secrets of another",
                remedy="nothing was written; lead DOCKER_HOST, or Docker's context, to the stack's own Swarm",
            )
        return VersionState(name, labels, id=str(found["ID"]))

    @property
    def is_nowhere(self) -> bool:
        """Whether nothing says that this is the stack's Swarm: there is no config, and no service."""
        return self.get() is None and self.api.get(f"/services/{self.location.service}") is None

    def remove_empty(self) -> None:
        """Remove a config in which no version is kept: with the last value the stack leaves no trace.

        Only under the lease, for a removal names no index: the state of another holder would be lost with it. The
        lease is removed with the config, so that nothing is left to release.
        """
        state = self.read()
        if state.id and not state.kept and self.token:
            with self.api.impatient():
                self.api.remove("configs", state.id)

    def get(self) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self.api.get(f"/configs/{self.location.state_config}")
        return found

    def _of_holder(self, found: dict[str, Any] | None) -> VersionState:
        state = self.opened(found)
        if self.token:
            record = state.lease
            if record is None or record.token != self.token:
                raise lease.lease_lost(record.holder if record else "nobody")
        return state


class LeaseLabel(LeaseStore):
    """The lease: a label of the config. `at` is the config as it was read; None once it was written."""

    keeps_duration = True

    def __init__(self, client: VersionStateClient) -> None:
        self._client = client

    def read(self, *, patient: bool = True) -> StoredLease:
        with contextlib.nullcontext() if patient else self._client.api.impatient():
            found = self._client.get()
            return StoredLease(self._client.opened(found).lease, found)

    def write(self, record: LeaseRecord | None, after: StoredLease, *, patient: bool = True) -> StoredLease:
        with contextlib.nullcontext() if patient else self._client.api.impatient():
            now = after if after.at is not None else self.read()  # its index has changed with our own write
            if now.record != after.record:
                return now
            state = self._client.opened(now.at)
            state.write_lease(record)
            return StoredLease(record) if self._client.write(now.at, state) else self.read()

    def contended(self, left: str) -> StoreError:
        remedy = "find out who writes it: docker events --filter type=config"
        return contended(f"config {self._client.location.state_config}", remedy, rule=f"one rotation at a time; {left}")


@contextlib.contextmanager
def hold(client: VersionStateClient, holder: str, timing: Timing) -> Iterator[HeldLease | None]:
    """Hold the lease while the block runs; None where nothing could be written. Raises as `stores.lease.hold` does.

    It is renewed over a connection of its own: the main thread may be waiting.
    """
    own = VersionStateClient(client.api.another(), client.location)
    if own.is_nowhere:  # no value is kept, and none can be: the first write says why
        yield None
        return
    with lease.hold(LeaseLabel(own), holder, timing) as held:
        client.token = held.record.token
        try:
            yield held
        finally:
            client.token = ""  # nosec B105 - nobody holds it
